import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import BrokenJournal
from launcher.runs.journal import Journal, read, salvage
from launcher.world import World


def journal_in(folder):
    return Journal(folder / "journal.jsonl", world=World())


def test_the_intent_is_on_disk_before_the_effect_and_the_outcome_after(tmp_path):
    path = tmp_path / "journal.jsonl"
    with journal_in(tmp_path).effect("start", offset=3) as outcome:
        (intent,) = read(path)
        assert (intent.what, intent.stage, intent.facts) == ("start", "intent", {"offset": 3})
        outcome["pid"] = 7
    assert [(e.stage, e.facts) for e in read(path)] == [
        ("intent", {"offset": 3}),
        ("done", {"pid": 7}),
    ]


def test_a_failed_effect_is_noted_and_raised(tmp_path):
    with pytest.raises(RuntimeError), journal_in(tmp_path).effect("stop"):
        raise RuntimeError("no")
    assert [(e.stage, e.facts) for e in read(tmp_path / "journal.jsonl")][-1] == (
        "failed",
        {"cause": "no"},
    )


def test_each_entry_is_synced(tmp_path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal_in(tmp_path).fact("a")
    assert len(synced) == 1


@given(cut=st.integers(min_value=0), tail=st.binary(max_size=20))
def test_a_torn_tail_costs_nothing_but_itself(tmp_path_factory, cut, tail):
    folder = tmp_path_factory.mktemp("journal")
    path = folder / "journal.jsonl"
    journal = journal_in(folder)
    for number in range(3):
        journal.fact("n", number=number)
    block = path.read_bytes()
    kept = block[: cut % (len(block) + 1)]
    path.write_bytes(kept + tail.replace(b"\n", b""))
    whole = kept.count(b"\n")

    assert [e.facts["number"] for e in read(path)] == list(range(whole))
    journal_in(folder).fact("n", number=99)

    assert [e.facts["number"] for e in read(path)] == [*range(whole), 99]
    assert path.read_bytes().endswith(b"\n")


def line(**changed) -> str:
    entry = {"what": "b", "stage": "fact", "time": 1, "facts": {}, "v": 1} | changed
    return json.dumps({name: value for name, value in entry.items() if value != "left out"})


RENT = {"name": "n", "gpu": "g", "rate": 1.0, "finish_by": 1, "gone_by": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\0\0", "invalid JSON"),
        (line()[:20], "invalid JSON"),
        ("", "invalid JSON"),
        ("[" * 100_000, "invalid JSON"),
        ("[]", "not a JSON object"),
        (line(v=2), "version 2, but this launch reads version 1"),
        (line(what=3), "'what' is not text"),
        (line(what="\ud800"), "'what' is not text"),
        (line(stage="begun"), "'stage' is not one of intent, done, failed, fact"),
        (line(stage=[]), "'stage' is not one of intent, done, failed, fact"),
        (line(time="left out"), "'time' is not a time in seconds"),
        (line(time=float("nan")), "'time' is not a time in seconds"),
        (line(time=1e300), "'time' is not a time in seconds"),
        (line(facts=[]), "'facts' is not a JSON object"),
        (line(facts={"pid": -1}), "'pid' must be a process id"),
        (line(facts={"pid": True}), "'pid' must be a process id"),
        (line(facts={"offset": -1}), "'offset' must be a whole number"),
        (line(facts={"id": "../a"}), "'id' must be a run id"),
        (line(facts={"job": "job.json"}), "'job' must be an object"),
        (line(what="created", facts={"id": "a"}), "'created' needs 'where'"),
        (line(what="rent", stage="intent", facts=RENT | {"rate": None}), "needs 'rate'"),
        (line(what="rent", stage="intent", facts=RENT | {"rate": "1"}), "must be a number"),
    ],
)
def test_a_line_that_no_launcher_wrote_is_named(text, told, tmp_path):
    path = tmp_path / "journal.jsonl"
    journal_in(tmp_path).fact("a")
    whole = path.read_bytes()
    path.write_bytes(whole + text.encode() + b"\n" + whole)
    with pytest.raises(BrokenJournal) as found:
        read(path)
    assert found.value.cause.startswith(f"{path}:2: ")
    assert told in found.value.cause
    assert found.value.hint
    assert [entry.what for entry in salvage(path)] == ["a", "a"]


def test_what_is_added_later_is_no_fault(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(line(new=2, facts={"newer": 3}) + "\n" + line(facts="left out") + "\n")
    assert [entry.facts for entry in read(path)] == [{"newer": 3}, {}]


def test_a_journal_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(BrokenJournal, match=r"journal\.jsonl: Permission denied"):
        read(tmp_path / "journal.jsonl")
    assert salvage(tmp_path / "journal.jsonl") == []


def test_of_a_line_that_the_disk_took_in_part_nothing_stays(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    journal = journal_in(tmp_path)
    journal.fact("a")

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.fact("b")
    journal.fact("c")
    assert [entry.what for entry in journal.entries] == ["a", "c"]
    assert [entry.what for entry in read(path)] == ["a", "c"]


def test_no_journal_has_no_entries(tmp_path):
    assert read(tmp_path / "none" / "journal.jsonl") == []
