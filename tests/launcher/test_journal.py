import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.journal import Journal, of_this_run, read
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
    with pytest.raises(RuntimeError), journal_in(tmp_path).effect("start"):
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


def test_lines_that_are_no_entries_are_skipped(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal_in(tmp_path).fact("a")
    later = json.dumps({"what": "b", "stage": "fact", "time": 1, "new": 2})
    path.write_bytes(path.read_bytes() + b"\0\0\n[]\n" + later.encode() + b"\n")
    assert [e.what for e in read(path)] == ["a"]


def test_what_was_overwritten_is_not_of_this_run(tmp_path):
    journal = journal_in(tmp_path)
    for what in ("a", "created", "image", "created", "b"):
        journal.fact(what)
    assert [e.what for e in of_this_run(journal.entries)] == ["created", "b"]
    assert [e.what for e in of_this_run(journal.entries[:1])] == ["a"]


def test_no_journal_has_no_entries(tmp_path):
    assert read(tmp_path / "none" / "journal.jsonl") == []
