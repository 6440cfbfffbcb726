"""The newest step of a long run, read from the end of its events."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.runs import status
from trainer.contract import events


def step(number: int) -> events.Step:
    return events.Step(
        step=number, steps=99_999, epoch=0.1, loss=1.0, lr=1e-4, tokens=1, trained_tokens=1,
        tokens_per_second=1.0, trained_tokens_per_second=1.0, seconds_left=1.0, memory_bytes=1,
    )  # fmt: skip


def write(path: Path, seen: list[events.Event], *, torn: str = "") -> Path:
    path.write_text("".join(event.model_dump_json() + "\n" for event in seen) + torn)
    return path


def test_of_a_long_file_only_the_end_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "events.jsonl", [step(n) for n in range(20_000)])
    assert path.stat().st_size > 4e6
    read = 0

    class Counting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal read
            block = super().read(size)
            read += len(block)
            return block

    monkeypatch.setattr(Path, "open", lambda self, mode: Counting(self, "r"))
    found = status.last_step(path)
    assert found is not None
    assert found.step == 19_999
    assert read <= status.TAIL


@given(
    before=st.integers(0, 3),
    after=st.integers(0, 60),
    size=st.integers(0, 2000),
    torn=st.sampled_from(["", "{", '{"type": "step"']),
)
def test_it_is_found_wherever_it_is(tmp_path_factory, before, after, size, torn):
    path = tmp_path_factory.mktemp("e") / "events.jsonl"
    said = events.Warning(message="x" * size)
    write(path, [*(step(n) for n in range(before)), *[said] * after], torn=torn)
    found = status.last_step(path)
    assert (found.step if found else None) == (before - 1 if before else None)


def test_the_reason_of_a_failed_run_is_one_short_line():
    """A refused file lists its faults below the first line."""
    assert status._line("x.jsonl cannot be trained on: 2 faults\nx.jsonl:1: a\nx.jsonl:2: b") == (
        "x.jsonl cannot be trained on: 2 faults"
    )
    assert len(status._line("x" * 10**6)) < 400
    assert status._line("") == ""


@pytest.mark.parametrize("content", [b"", b"no event\n", b"\n\n"])
def test_no_step_is_none(tmp_path, content):
    (tmp_path / "events.jsonl").write_bytes(content)
    assert status.last_step(tmp_path / "events.jsonl") is None
    assert status.last_step(tmp_path / "none") is None


@given(
    sizes=st.lists(st.integers(0, 40_000), max_size=8),
    start=st.integers(0, 8),
    torn=st.sampled_from(["", "{", '{"type": "step"']),
)
def test_backwards_are_the_same_events(tmp_path_factory, sizes, start, torn):
    path = tmp_path_factory.mktemp("e") / "events.jsonl"
    said: list[events.Event] = [events.Warning(message="x" * size) for size in sizes]
    start = write(path, said[:start]).stat().st_size
    write(path, said, torn=torn)
    assert [*status.newest_first(path, start)] == events.read(path, start)[0][::-1]


def test_a_row_of_ps_ends_at_the_edge_of_the_terminal(monkeypatch):
    one = status.Status(
        id="20261130-1008-382a",
        state="interrupted",
        step=1000,
        steps=12000,
        loss=1.0,
        where="runpod",
        model="me/" + "a-long-name-" * 5,
        created=0.0,
        reason="",
        folder="/runs/a",
    )
    whole = status.ps_lines([one])[1]
    assert whole.endswith("a-long-name-")
    monkeypatch.setenv("COLUMNS", "80")
    cut = status.ps_lines([one])[1]
    assert len(cut) == 80
    assert whole.startswith(cut.removesuffix("…"))
