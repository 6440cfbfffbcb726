"""A journal that someone edited: one message that names the line; and no pod is forgotten over it."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from launcher import report
from launcher.errors import BrokenJournal
from launcher.rental import guard, receipt_and_reap
from launcher.report import command, facts, sentences
from launcher.request import Request, resolve
from launcher.runs import logs, run_folder, run_state, status
from launcher.runs.journal import Journal
from launcher.stop import stop
from launcher.train import refuse_ended, train
from launcher.verbs import ps
from tests.launcher.rental.account import KEY
from trainer.contract.command.errors import Fault, Interrupted


@pytest.fixture
def run(project):
    return run_folder.Run("a", project / "runs" / "a")


@pytest.fixture
def left(account, world, begin):
    """A run that was left at work; its pod does nothing of its own."""
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin()
    world.press = lambda: False
    (machine,) = account.machines.values()
    account.live = lambda _: None
    return machine


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1e300,
    float("nan"),
    10**400,
    "",
    "x",
    "\ud800",
    "../../x",
    [],
    {},
    [[]],
]


def half(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at] = lines[at][: chance.randrange(1, len(lines[at]) - 1)]


def joined(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at : at + 2] = ["".join(lines[at : at + 2])]


def another_value(lines: list[str], at: int, chance: random.Random) -> None:
    entry = json.loads(lines[at])
    place = chance.choice([place for place in (entry, entry["facts"]) if place])
    for inner in ("job", "settings"):
        if isinstance(place.get(inner), dict) and chance.random() < 0.5:
            place = place[inner]
    place[chance.choice(list(place))] = chance.choice(ODD)
    lines[at] = json.dumps(entry)


def without_a_key(lines: list[str], at: int, chance: random.Random) -> None:
    entry = json.loads(lines[at])
    place = chance.choice([place for place in (entry, entry["facts"]) if place])
    del place[chance.choice(list(place))]
    lines[at] = json.dumps(entry)


def without_a_line(lines: list[str], at: int, chance: random.Random) -> None:
    del lines[at]


def twice(lines: list[str], at: int, chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), lines[at])


EDITS: list[Callable[[list[str], int, random.Random], None]] = [
    half, joined, another_value, without_a_key, without_a_line, twice
]  # fmt: skip


def everything_read(run: run_folder.Run, *, world: Any) -> None:
    """What the verbs work out of a journal before they act."""
    now = world.now()
    shown = status.seen(run, now=now)
    assert status.ps_lines([shown])
    json.dumps(shown.facts()).encode()
    run_folder.at(run.folder)
    resolve(Request(resume=str(run.folder)), world=world)
    run_state.read(run.journal).spent(now)
    "\n".join(status.ps_lines([status.look(run, now=now)])).encode()
    told = facts.collect(run)
    sentences.outcome(told), sentences.money(told), sentences.overview(told)
    command.again(run, told.summary)
    with run_folder.hold(run, world=world) as log:
        refuse_ended(run, log)
    list(logs.lines(run, follow=False, as_json=False, world=world))


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_whatever_was_edited_is_read_or_is_one_fault(edit, left, run, world):
    whole = run.journal.read_text().splitlines()
    refused: list[Fault] = []
    for seed in range(40):
        chance = random.Random(seed)
        lines = list(whole)
        edit(lines, chance.randrange(len(lines)), chance)
        run.journal.write_text("".join(f"{line}\n" for line in lines))
        try:
            everything_read(run, world=world)
        except Fault as fault:
            refused.append(fault)
    assert refused or edit in {twice, without_a_line}
    assert all(fault.hint for fault in refused)


@pytest.fixture
def broken(left, run):
    """The run that was left at work, half of its journal's fourth line lost: the pod's id."""
    lines = run.journal.read_text().splitlines()
    assert '"pod1"' in lines[3]
    lines[3] = lines[3][:40]
    run.journal.write_text("".join(f"{line}\n" for line in lines))
    return f"{run.journal}:4: invalid JSON"


def asked(**more: Any) -> Callable[..., object]:
    return lambda world, view: train(Request(resume="a", **more), world=world, view=view)


VERBS: dict[str, Callable[..., object]] = {
    "attach": asked(attach=True),
    "fetch": asked(attach=True, start_stopped=True),
    "train --resume": asked(),
    "stop": lambda world, view: stop("a", at_once=False, world=world, view=view),
    "receipt": lambda world, view: receipt_and_reap.ask_receipt("a", world=world, view=view),
    "report": lambda world, view: report.write(run_folder.find("a", world=world)),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_nothing_is_done_and_the_line_is_named(verb, broken, left, world, view):
    with pytest.raises(BrokenJournal) as told:
        verb(world=world, view=view)
    assert told.value.cause == broken
    assert "launch reap" in told.value.hint
    assert left.status == "RUNNING"


def test_ps_shows_the_others_too(broken, left, run, project, world, monkeypatch, capsys):
    other = run_folder.Run("other", project / "other")
    other.folder.mkdir()
    Journal(other.journal, world=world).fact("created", id="other", where="here", model="m")
    run_folder.add_to_index(other, world=world)
    monkeypatch.setattr("launcher.world.World", lambda: world)
    assert ps.run(ps_options(json=False)) == 0
    shown = capsys.readouterr().out
    assert "other  new" in shown
    assert "a      unreadable" in shown
    assert broken in shown
    ps.run(ps_options(json=True))
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == list(second)
    assert (first["state"], second["state"]) == ("unreadable", "new")


def ps_options(*, json: bool) -> Any:
    return type("Options", (), {"json": json})


def test_logs_need_no_journal(broken, left, run, world):
    found = run_folder.find("a", world=world)
    assert any(
        "step" in text for text in logs.lines(found, follow=False, as_json=False, world=world)
    )


def test_reap_keeps_its_pod_until_the_deadline_or_until_it_is_named(broken, left, world, view):
    (pod,), told = receipt_and_reap.reap([], world=world, view=view)
    assert (pod["action"], pod["why"]) == ("keep", broken)
    assert broken in told[1]
    assert left.status == "RUNNING"
    receipt_and_reap.reap([left.id], world=world, view=view)
    assert left.status == "TERMINATED"


def test_the_guard_stops_it_at_its_deadline_all_the_same(left, run, account, world, view):
    """Also where the line is lost that tells of the deadline, while the guard is at work."""
    lines = run.journal.read_text().splitlines()
    lost = [line for line in lines if '"rent"' not in line]
    assert len(lost) == len(lines) - 2
    world.account.plans.append(
        (account.time + 60, lambda: run.journal.write_text("".join(f"{x}\n" for x in ["{", *lost])))
    )
    guard.watch(run.folder, world=world, view=view)
    assert left.status == "EXITED"


def test_the_guard_deletes_what_is_fetched_without_the_journal(left, run, account, world, view):
    state = run_state.read(run.journal)
    state.pods[-1] = replace(state.pods[-1], up=None)
    run.journal.write_text("{\n" + run.journal.read_text())
    with world.api(KEY) as api:
        guard.act(run, state, api, world=world, view=view)
    assert left.status == "TERMINATED"
    assert "deleted the pod without writing the journal" in view.text


def test_of_a_broken_journal_the_rest_is_salvaged(broken, left, run):
    state = run_state.read_leniently(run.journal)
    assert state.living is not None
    assert state.living.id is None, "its name is known: it stands for the pod"
    assert state.names


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("where", "moon", "'where' is 'moon', not one of here, docker, runpod"),
        ("settings", {"max_cost": "much"}, "unknown or invalid setting 'max_cost'"),
    ],
)
def test_a_value_that_no_launcher_writes_is_refused_by_name(name, value, told, left, run, world):
    first, *rest = run.journal.read_text().splitlines()
    entry = json.loads(first)
    entry["facts"][name] = value
    run.journal.write_text("".join(f"{x}\n" for x in [json.dumps(entry), *rest]))
    with pytest.raises(BrokenJournal, match=told):
        resolve(Request(resume="a"), world=world)
