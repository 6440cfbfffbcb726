"""What a journal says of the pods that were rented, and what they have cost by the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.runs.journal import Entry
from launcher.runs.rented_pods import (
    WOKEN,
    Name,
    Rented,
    Span,
    key_file,
    machine_id,
    rented,
    spans,
    spent,
)
from launcher.runs.run_folder import Run
from launcher.world import World

RUNS = st.text("aZ09._-", min_size=1, max_size=30)


def rent(time, number=1, rate=0.36, gone_by=10_000.0):
    name = f"sft-a-0123abcd-1800000000-{number}"
    return Entry("rent", "intent", time, {"name": name, "rate": rate, "gone_by": gone_by})


def done(what, time, **facts):
    return Entry(what, "done", time, facts)


def fact(what, time, **facts):
    return Entry(what, "fact", time, facts)


def test_a_name_is_read_as_it_was_written():
    name = Name("csv-7-1800000000-1", "0123abcd", 1_800_000_000, 12)
    assert str(name) == "sft-csv-7-1800000000-1-0123abcd-1800000000-12"
    assert Name.parse(str(name)) == name


@given(RUNS, st.integers(10**8, 10**11 - 1), st.integers(0, 99))
def test_every_name_is_read_as_it_was_written(run, gone_by, attempt):
    name = Name(run, "0123abcd", gone_by, attempt)
    assert Name.parse(str(name)) == name


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "my-pod",
        "sft-a-0123abcd-1800000000",
        "sft-a-0123abc-1800000000-1",
        "sft-a-0123abcd-18-1",
    ],
)
def test_a_name_of_another_kind_is_not_ours(foreign):
    assert Name.parse(foreign) is None


def test_a_machine_keeps_its_id():
    world = World()
    assert machine_id(world) == machine_id(world)
    assert len(bytes.fromhex(machine_id(world))) == 4


def test_a_machine_gets_an_id_whether_its_folder_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "not" / "yet"))
    first = machine_id(World())
    (World().state_folder() / "machine").unlink()
    assert len(machine_id(World())) == len(first) == 8


def test_a_runs_key_lies_in_the_users_state_folder(tmp_path):
    world = World()
    assert key_file(Run("a", tmp_path), world) == world.state_folder() / "keys" / "a"


@pytest.mark.parametrize(
    ("now", "cost"),
    [(900.0, 0.0), (1000.0, 0.0), (1001.0, 0.0001), (4600.0, 0.36), (8200.0, 0.72), (9000.0, 0.72)],
)
def test_a_pod_costs_its_rate_from_its_create_to_its_deadline(now, cost):
    entries = [rent(1000.0, gone_by=8200.0), done("rent", 1010.0, pod="p")]
    what = rented(entries)
    assert what is not None
    assert (what.rate, what.gone_by) == (0.36, 8200.0)
    assert what.cost(now) == pytest.approx(cost)
    assert spent(entries, now) == pytest.approx(cost)
    assert Span("p", 1000.0, 0.36, 8200.0).seconds(now) == pytest.approx(cost * 10_000)


def test_nothing_is_known_to_cost_nothing():
    what = Rented("n", None, {}, 0.0, ("n",), handed_over=False, fetched=False, released=False)
    assert (what.rate, what.gone_by, what.cost(100.0)) == (0.0, 0.0, 0.0)


def test_a_run_that_rented_nothing():
    assert rented([fact("created", 1.0, id="a")]) is None
    assert spans([fact("created", 1.0, id="a")]) == []
    assert spent([], 100.0) == 0


@pytest.mark.parametrize(
    ("story", "handed_over", "fetched", "released", "pod", "up"),
    [
        ([], False, False, False, None, None),
        ([done("rent", 2.0, pod="p")], False, False, False, "p", None),
        ([fact("found", 2.0, pod="p")], False, False, False, "p", None),
        ([done("rent", 2.0)], False, False, True, None, None),
        ([done("rent", 2.0, pod="p"), fact("up", 3.0)], False, False, False, "p", 3.0),
        ([done("rent", 2.0, pod="p"), done("start", 3.0)], True, False, False, "p", None),
        ([done("rent", 2.0, pod="p"), done("fetch", 3.0)], False, True, False, "p", None),
        ([done("rent", 2.0, pod="p"), done("release", 3.0)], False, False, True, "p", None),
        ([done("rent", 2.0, pod="p"), fact("gone", 3.0)], False, False, True, "p", None),
        (
            [Entry("release", "intent", 2.0), Entry("release", "failed", 3.0, {"cause": "no"})],
            False, False, False, None, None,
        ),
    ],
)  # fmt: skip
def test_what_became_of_a_pod(story, handed_over, fetched, released, pod, up):
    what = rented([rent(1.0), *story])
    assert what is not None
    assert (what.handed_over, what.fetched, what.released) == (handed_over, fetched, released)
    assert (what.pod, what.up, what.since) == (pod, up, 1.0)
    assert what.names == (what.name,)


def test_the_next_pod_begins_afresh_and_the_names_of_all_are_kept():
    first = [rent(1.0), done("rent", 2.0, pod="p"), fact("up", 3.0), done("start", 4.0)]
    ended = [done("fetch", 5.0), done("release", 6.0)]
    what = rented([*first, *ended, rent(7.0, number=2, rate=0.5)])
    assert what is not None
    assert (what.handed_over, what.fetched, what.released) == (False, False, False)
    assert (what.pod, what.up, what.since, what.rate) == (None, None, 7.0, 0.5)
    assert [name[-2:] for name in what.names] == ["-1", "-2"]
    assert what.name == what.names[1]


def test_a_pod_that_was_woken_may_stay_an_hour_unless_that_failed():
    story = [rent(1.0), done("rent", 2.0, pod="p"), Entry("wake", "intent", 20_000.0)]
    woken, asleep = rented(story), rented([*story, Entry("wake", "failed", 20_001.0)])
    assert woken is not None
    assert asleep is not None
    assert woken.gone_by == 20_000.0 + WOKEN == 23_600.0
    assert asleep.gone_by == 10_000.0


def test_what_the_create_answers_corrects_what_was_asked_for():
    story = [rent(1.0), done("rent", 2.0, pod="p", rate=0.4)]
    what = rented(story)
    assert what is not None
    assert what.rate == 0.4
    assert spans(story) == [Span("p", 1.0, 0.4, 10_000.0)]


@pytest.mark.parametrize(
    ("story", "found"),
    [
        # nobody knows whether it was made: it counts
        ([rent(1.0)], [Span(None, 1.0, 0.36, 10_000.0)]),
        # refused: it never was
        ([rent(1.0), done("rent", 2.0)], []),
        ([rent(1.0), fact("found", 2.0, pod=None)], []),
        ([rent(1.0), done("rent", 2.0, pod="p")], [Span("p", 1.0, 0.36, 10_000.0)]),
        (
            [rent(1.0), done("rent", 2.0, pod="p"), done("release", 9.0)],
            [Span("p", 1.0, 0.36, 10_000.0, 9.0)],
        ),
        # the next one begins where nobody wrote down the end of the one before
        (
            [rent(1.0), done("rent", 2.0, pod="p"), rent(5.0, 2), done("rent", 6.0, pod="q")],
            [Span("p", 1.0, 0.36, 10_000.0, 5.0), Span("q", 5.0, 0.36, 10_000.0)],
        ),
        # released is released: what is found out later changes nothing
        (
            [
                rent(1.0), done("rent", 2.0, pod="p"), done("release", 9.0), fact("gone", 12.0),
                fact("found", 13.0, pod=None), rent(14.0, 2),
            ],
            [Span("p", 1.0, 0.36, 10_000.0, 9.0), Span(None, 14.0, 0.36, 10_000.0)],
        ),
        # of several, the last is meant
        (
            [
                rent(1.0), done("rent", 2.0, pod="p"), done("release", 3.0),
                rent(4.0, 2), done("rent", 5.0, pod="q"),
                rent(6.0, 3), done("rent", 7.0, pod="r"), done("release", 8.0),
            ],
            [
                Span("p", 1.0, 0.36, 10_000.0, 3.0), Span("q", 4.0, 0.36, 10_000.0, 6.0),
                Span("r", 6.0, 0.36, 10_000.0, 8.0),
            ],
        ),
        # an end without a beginning
        ([fact("gone", 1.0), fact("found", 1.0, pod="p")], []),
        # an overwritten run is another one
        (
            [rent(1.0), done("rent", 2.0, pod="p"), fact("created", 3.0), rent(4.0, 2)],
            [Span(None, 4.0, 0.36, 10_000.0)],
        ),
    ],
)  # fmt: skip
def test_the_pods_of_a_run_and_their_times(story, found):
    assert spans(story) == found


def test_all_pods_of_a_run_are_paid_for():
    story = [rent(0.0, rate=3.6), done("rent", 1.0, pod="p"), done("release", 100.0)]
    story += [rent(1000.0, 2, rate=7.2), done("rent", 1001.0, pod="q")]
    # 100 s at a tenth of a cent, 50 s at two tenths
    assert spent(story, 1050.0) == pytest.approx(0.10 + 0.10)
