"""What a journal says of a run, its pods and what they have cost by the clock; the figures are by hand."""

import pytest

from launcher.runs.journal import Entry
from launcher.runs.rented_pods import Billed
from launcher.runs.run_state import WOKEN, RunState


def rent(time, number=1, rate=0.36, gone_by=10_000.0):
    name = f"sft-a-0123abcd-1800000000-{number}"
    facts = {"name": name, "gpu": "RTX", "rate": rate, "finish_by": 9_000.0, "gone_by": gone_by}
    return Entry("rent", "intent", time, facts)


def begun(what, time, **facts):
    return Entry(what, "intent", time, facts)


def done(what, time, **facts):
    return Entry(what, "done", time, facts)


def fact(what, time, **facts):
    return Entry(what, "fact", time, facts)


MADE = done("rent", 2.0, pod="p")


@pytest.mark.parametrize(
    ("now", "cost"),
    [(900.0, 0.0), (1010.0, 0.0), (1011.0, 0.0001), (4610.0, 0.36), (8210.0, 0.72), (9000.0, 0.72)],
)
def test_a_pod_costs_its_rate_from_its_creation_to_its_deadline(now, cost):
    state = RunState([rent(1000.0, gone_by=8210.0), done("rent", 1010.0, pod="p")])
    assert state.pod is not None
    assert (state.pod.rate, state.pod.gone_by, state.pod.since) == (0.36, 8210.0, 1010.0)
    assert state.spent(now) == pytest.approx(cost)
    assert state.pod.seconds(now) == pytest.approx(cost * 10_000)


@pytest.mark.parametrize("story", [[], [fact("created", 1.0, id="a")]])
def test_a_run_that_rented_nothing(story):
    state = RunState(story)
    assert (state.pod, state.living, state.names, state.spent(100.0)) == (None, None, [], 0)


@pytest.mark.parametrize(
    ("story", "has_job", "fetched", "released", "pod", "up"),
    [
        ([], False, False, False, None, None),
        ([MADE], False, False, False, "p", None),
        ([fact("found", 2.0, pod="p")], False, False, False, "p", None),
        ([MADE, fact("up", 3.0)], False, False, False, "p", 3.0),
        ([MADE, done("start", 3.0)], True, False, False, "p", None),
        ([MADE, done("fetch", 3.0)], False, True, False, "p", None),
        ([MADE, done("release", 3.0)], False, False, True, "p", None),
        ([MADE, fact("gone", 3.0, pod="p")], False, False, True, "p", None),
        (
            [begun("release", 2.0), Entry("release", "failed", 3.0, {"cause": "no"})],
            False, False, False, None, None,
        ),
    ],
)  # fmt: skip
def test_what_became_of_a_pod(story, has_job, fetched, released, pod, up):
    state = RunState([rent(1.0), *story])
    found = state.pod
    assert found is not None
    assert (found.has_job, found.fetched, found.released) == (has_job, fetched, released)
    assert (found.id, found.up) == (pod, up)
    assert state.names == [found.name]
    assert (state.living is None) == released


@pytest.mark.parametrize(
    "end", [done("rent", 2.0), fact("found", 2.0, pod=None), fact("gone", 2.0, name="n")]
)
def test_a_pod_that_was_never_made_costs_nothing_and_its_name_is_kept(end):
    state = RunState([rent(1.0), end])
    assert (state.pods, state.spent(1e9)) == ([], 0)
    assert len(state.names) == 1


def test_the_next_pod_begins_afresh_and_the_names_of_all_are_kept():
    first = [rent(1.0), MADE, fact("up", 3.0), done("start", 4.0)]
    ended = [done("fetch", 5.0), done("release", 6.0)]
    state = RunState([*first, *ended, rent(7.0, number=2, rate=0.5)])
    pod = state.living
    assert pod is not None
    assert (pod.has_job, pod.fetched, pod.released) == (False, False, False)
    assert (pod.id, pod.up, pod.since, pod.rate) == (None, None, 7.0, 0.5)
    assert [name[-2:] for name in state.names] == ["-1", "-2"]


def test_a_pod_that_was_started_again_may_stay_an_hour_unless_that_failed():
    story = [rent(1.0), MADE, begun("wake", 20_000.0)]
    woken, asleep = RunState(story), RunState([*story, Entry("wake", "failed", 20_001.0)])
    assert woken.pod is not None
    assert asleep.pod is not None
    assert woken.pod.gone_by == 20_000.0 + WOKEN == 23_600.0
    assert asleep.pod.gone_by == 10_000.0
    # billed to its deadline, not while it was stopped, and again from its start on
    assert woken.pod.seconds(20_100.0) == (10_000.0 - 2.0) + 100.0


def test_a_stopped_pod_is_not_billed_from_when_that_was_seen():
    state = RunState([rent(1.0), MADE, fact("stopped", 102.0, pod="p")])
    assert state.living is not None
    assert state.living.seconds(5_000.0) == 100.0


def test_what_the_create_answers_corrects_what_was_asked_for():
    state = RunState([rent(1.0), done("rent", 2.0, pod="p", rate=0.4)])
    assert [(pod.id, pod.rate, pod.times) for pod in state.pods] == [
        ("p", 0.4, (Billed(2.0, 10_000.0),))
    ]


@pytest.mark.parametrize(
    ("story", "found"),
    [
        # nobody knows whether it was made: it counts
        ([rent(1.0)], [(None, 1.0, None)]),
        ([rent(1.0), MADE], [("p", 2.0, None)]),
        ([rent(1.0), fact("found", 2.0, pod="p")], [("p", 1.0, None)]),
        ([rent(1.0), MADE, done("release", 9.0)], [("p", 2.0, 9.0)]),
        # the next one begins where nobody wrote down the end of the one before
        ([rent(1.0), MADE, rent(5.0, 2), done("rent", 6.0, pod="q")], [("p", 2.0, 5.0), ("q", 6.0, None)]),
        # released is released: what is found out later changes nothing
        (
            [
                rent(1.0), MADE, done("release", 9.0), fact("gone", 12.0, pod="p"),
                fact("found", 13.0, pod=None), rent(14.0, 2),
            ],
            [("p", 2.0, 9.0), (None, 14.0, None)],
        ),
        # of several, the last is meant
        (
            [
                rent(1.0), MADE, done("release", 3.0), rent(4.0, 2), done("rent", 5.0, pod="q"),
                rent(6.0, 3), done("rent", 7.0, pod="r"), done("release", 8.0),
            ],
            [("p", 2.0, 3.0), ("q", 5.0, 6.0), ("r", 7.0, 8.0)],
        ),
        # an end without a beginning
        ([fact("gone", 1.0), fact("found", 1.0, pod="p")], []),
        # an overwritten run is another one
        ([rent(1.0), MADE, done("release", 2.5), fact("created", 3.0), rent(4.0, 2)], [(None, 4.0, None)]),
    ],
)  # fmt: skip
def test_the_pods_of_a_run_and_their_times(story, found):
    times = [(pod.id, pod.times[0].start, pod.times[-1].end) for pod in RunState(story).pods]
    assert times == found


def test_all_pods_of_a_run_are_paid_for():
    story = [rent(0.0, rate=3.6), done("rent", 0.0, pod="p"), done("release", 100.0)]
    story += [rent(1000.0, 2, rate=7.2), done("rent", 1000.0, pod="q")]
    # 100 s at a tenth of a cent, 50 s at two tenths
    assert RunState(story).spent(1050.0) == pytest.approx(0.10 + 0.10)


def test_an_overwritten_run_begins_anew():
    state = RunState(
        [
            fact("created", 1.0, id="a", where="here"), fact("quote", 1.0, most=1.0),
            done("image", 1.5, image="i"), begun("start", 2.0, offset=7, pid=12),
            fact("ended", 3.0, state="failed", cause="why"),
            fact("created", 4.0, id="a", where="docker"),
        ]
    )  # fmt: skip
    assert state.summary == {"v": 1, "state": "new", "id": "a", "where": "docker", "created": 4.0}
    assert (state.quote, state.image, state.offset, state.ended) == ({}, None, None, None)


@pytest.mark.parametrize(
    ("story", "why"),
    [
        ([], None),
        ([fact("ended", 3.0, cause="why")], {"cause": "why"}),
        ([fact("gone", 3.0, pod="p")], {"pod": "p"}),
        ([fact("gone", 3.0, name="n")], None),
        ([begun("release", 3.0, reason="late"), done("release", 4.0)], {"reason": "late"}),
        ([fact("ended", 3.0), begun("start", 4.0, offset=0)], None),
        ([fact("ended", 3.0), rent(4.0, 2)], None),
    ],
)
def test_why_an_attempt_is_over(story, why):
    assert RunState([rent(1.0), MADE, *story]).ended == why


def test_a_higher_rate_moves_the_deadlines_of_the_time_that_is_billed_now():
    rate = fact("rate", 100.0, pod="p", rate=0.72, gone_by=5_000.0, finish_by=4_000.0)
    pod = RunState([rent(1.0), MADE, rate]).pod
    assert pod is not None
    assert (pod.rate, pod.finish_by, pod.capped) == (0.72, 4_000.0, True)
    assert pod.times == (Billed(2.0, 5_000.0),)
    again = [
        begun("wake", 6_000.0),
        fact("rate", 7_000.0, rate=1.0, gone_by=8_000.0, finish_by=0.0),
    ]
    pod = RunState([rent(1.0), MADE, rate, fact("stopped", 3_000.0), *again]).pod
    assert pod is not None
    assert pod.times == (Billed(2.0, 5_000.0, 3_000.0), Billed(6_000.0, 8_000.0))


def test_a_pod_started_again_before_its_deadline_keeps_it():
    story = [rent(1.0), MADE, fact("failed", 100.0, pod="p"), begun("wake", 200.0)]
    state = RunState([*story, done("wake", 201.0)])
    assert state.living is not None
    assert state.living.gone_by == 10_000.0
    assert state.living.seen == ""
    assert state.living.times == (Billed(2.0, 10_000.0, 200.0), Billed(200.0, 10_000.0))
    assert RunState(story).living.seen == "failed"  # type: ignore[union-attr]


def test_what_was_charged_is_what_a_pod_has_cost():
    bill = fact("bill", 20.0, pod="p", charged=0.5)
    first = [rent(1.0), MADE, done("release", 9.0)]
    other = [rent(10.0, 2, rate=3600.0), done("rent", 10.0, pod="q")]
    state = RunState([*first, *other, bill])
    assert [pod.charged for pod in state.pods] == [0.5, None]
    assert state.spent(11.0) == pytest.approx(0.5 + 1.0)


def test_the_end_of_a_pod_that_was_started_again_ends_its_last_time_alone():
    story = [rent(1.0), MADE, fact("stopped", 50.0), begun("wake", 60.0), done("release", 70.0)]
    pod = RunState(story).pod
    assert pod is not None
    assert pod.times == (Billed(2.0, 10_000.0, 50.0), Billed(60.0, 10_000.0, 70.0))
    assert (pod.capped, pod.most, pod.seconds(1e9)) == (False, 0.0, 48.0 + 10.0)


def test_a_new_start_forgets_how_the_last_one_ended():
    ended = fact("ended", 3.0, state="failed", cause="why", hint="do")
    first = [begun("start", 1.0, offset=0), done("start", 2.0, pid=12), ended]
    assert RunState(first).summary["cause"] == "why"
    summary = RunState([*first, begun("start", 4.0, offset=9)]).summary
    assert not {"pid", "cause", "hint"} & set(summary)
    assert (summary["state"], summary["started"], summary["offset"]) == ("started", 4.0, 9)
