import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from datagen.episode import Episode, Provenance, Question, Verdict
from datagen.episodes.journal import Journal, keeping
from trainer.contract.command.errors import BadData, Locked


def episode(key: str) -> Episode:
    return Episode(
        id=key,
        question=Question(
            id=f"q{key}",
            text="Wie groß?",
            answer_type="integer",
            source="template",
            family="f",
            difficulty="easy",
            truth=1,
        ),
        tables=[],
        traces=[],
        verdict=Verdict(verified=True, rule="integer"),
        provenance=Provenance(
            model="m", prompt_sha256="", sandbox_level="full", seed=0, versions={}
        ),
    )


def keys(episodes) -> list[str]:
    return [e.id for e in episodes]


def test_episodes_come_back_in_the_order_asked_for_and_all_others_after(tmp_path: Path):
    with Journal(tmp_path / "new" / "j") as journal:
        journal.append([episode("b"), episode("a")])
        journal.append([episode("c")])
        assert "a" in journal
        assert keys(journal.episodes(["c", "x", "a"])) == ["c", "a", "b"]
    heard: list[Episode] = []
    with Journal(tmp_path / "new" / "j", heard.append) as journal:
        assert keys(heard) == ["b", "a", "c"]
        journal.append([episode("d")])
        assert len(journal) == 4
        assert keys(journal.episodes()) == ["b", "a", "c", "d"]


def test_cut_off_in_any_line_it_holds_the_whole_lines_before(tmp_path: Path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append([episode("a"), episode("b")])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in [0, 1, first - 2, first - 1, first, first + 1, len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            expected = ["a", "b"][: (cut >= first) + (cut == len(whole))]
            assert keys(journal.episodes()) == expected
            journal.append([episode("c")])
        with Journal(path) as journal:
            assert keys(journal.episodes()) == [*expected, "c"]


def test_a_broken_line_among_good_ones_is_reported_and_nothing_is_cut_off(tmp_path: Path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append([episode("a"), episode("b")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[1])
    before = path.read_bytes()
    with pytest.raises(BadData, match=r"j:2: not an episode"):
        Journal(path)
    assert path.read_bytes() == before


def test_two_writers_are_refused(tmp_path: Path):
    with Journal(tmp_path / "j"), pytest.raises(Locked, match="another process"):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").__exit__(None, None, None)


def test_nothing_is_kept_before_it_is_on_disk(tmp_path: Path, monkeypatch):
    path, log = tmp_path / "j", []
    synced = os.fsync

    def fsync(fd: int) -> None:
        log.append("fsync")
        synced(fd)

    monkeypatch.setattr(os, "fsync", fsync)

    def kept(one: Episode) -> None:
        assert one.model_dump_json() in path.read_text("utf-8")
        log.append(one.id)

    async def main(journal: Journal) -> None:
        async with keeping(journal, kept) as keep:
            await asyncio.gather(*(keep(episode(str(n))) for n in range(20)))

    with Journal(path) as journal:
        log.clear()
        asyncio.run(main(journal))
    assert log[0] == "fsync"
    assert sorted(log[1:]) == sorted([*map(str, range(20)), *["fsync"] * log[1:].count("fsync")])
    assert log.count("fsync") < 20  # those that end together share a write


def test_what_was_handed_over_is_written_though_the_work_is_cancelled(tmp_path: Path):
    async def main(journal: Journal) -> None:
        async with keeping(journal, lambda _: None) as keep:
            task: asyncio.Task[None] = asyncio.create_task(keep(episode("a")))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            task.cancel()
            raise KeyboardInterrupt

    with Journal(tmp_path / "j") as journal:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main(journal))
        assert "a" in journal


def test_a_full_disk_reaches_whoever_waits_and_leaves_no_half_line(tmp_path: Path, monkeypatch):
    path = tmp_path / "j"

    async def main(journal: Journal) -> None:
        async with keeping(journal, lambda _: None) as keep:
            await keep(episode("b"))

    with Journal(path) as journal:
        journal.append([episode("a")])
        whole = path.read_bytes()
        monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            asyncio.run(main(journal))
        assert path.read_bytes() == whole
        assert "b" not in journal


def test_the_lock_is_let_go_with_the_file(tmp_path: Path):
    with Journal(tmp_path / "j"):
        pass
    with (tmp_path / "j").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
