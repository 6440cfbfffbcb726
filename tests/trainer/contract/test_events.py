import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.contract import events
from trainer.contract.command.errors import BadData, Locked
from trainer.contract.events import Checkpoint, Done, Phase, Step, Unknown, Writer, follow, read


def step(number=1, loss=1.0):
    return Step(
        step=number,
        steps=9,
        epoch=0.5,
        loss=loss,
        lr=1e-3,
        tokens=10,
        trained_tokens=5,
        tokens_per_second=1.5,
        trained_tokens_per_second=1.0,
        seconds_left=3.0,
        memory_bytes=1,
    )


some_events = st.one_of(
    st.builds(Phase, name=st.text(), detail=st.text()),
    st.builds(step, number=st.integers(), loss=st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(events.Warning, message=st.text()),
    st.builds(Checkpoint, step=st.integers(), path=st.text()),
)


@given(first=st.lists(some_events, max_size=5), second=st.lists(some_events, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    for part in (first, second):
        with Writer(path) as writer:
            for event in part:
                writer.emit(event)
    found, offset = read(path)
    assert [e.model_copy(update={"seq": -1, "time": 0.0}) for e in found] == first + second
    assert [e.seq for e in found] == list(range(len(found)))
    assert offset == path.stat().st_size


@given(cut=st.integers(0, 400), at=st.integers(0, 400))
def test_any_prefix_reads_whole_lines_and_can_be_continued(tmp_path_factory, cut, at):
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    with Writer(path) as writer:
        for text in ("a\nb", "ü", "c"):
            writer.emit(Phase(name=text))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    before, offset = read(path)
    assert len(before) == whole[:cut].count(b"\n")
    with Writer(path) as writer:
        written = writer.emit(Done(manifest="m"))
    assert written.seq == len(before)
    after, _ = read(path, offset)
    assert after == [written]
    assert read(path)[0] == [*before, written]


def test_a_torn_line_is_not_read_until_it_is_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    with Writer(path) as writer:
        writer.emit(Phase(name="a"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-5])
    found, offset = read(path)
    assert len(found) == 1
    assert read(path, offset) == ([], offset)
    path.write_bytes(whole + whole)
    assert len(read(path, offset)[0]) == 1


def test_a_long_last_line_is_found(tmp_path):
    path = tmp_path / "events.jsonl"
    with Writer(path) as writer:
        writer.emit(Phase(name="a"))
        writer.emit(Phase(name="x" * 300_000))
    with Writer(path) as writer:
        assert writer.emit(Phase(name="b")).seq == 2


def test_a_newer_writer_does_not_break_an_older_reader(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"v":1,"seq":0,"time":1.0,"type":"hologram","depth":3}\n'
        '{"v":2,"seq":1,"time":1.0,"type":"phase","name":"x"}\n'
        '{"v":1,"seq":2,"time":1.0,"type":"phase","named":"x"}\n'
        '{"v":1,"seq":3,"time":1.0,"type":"phase","name":"x","new":1}\n'
    )
    found, _ = read(path)
    assert [type(e) for e in found] == [Unknown, Unknown, Unknown, Phase]
    assert found[0].model_dump()["depth"] == 3


@pytest.mark.parametrize("line", ["", "nonsense", "[]", "{}", '{"seq":1}', "\x00\x00"])
def test_a_damaged_whole_line_is_named(tmp_path, line):
    path = tmp_path / "events.jsonl"
    with Writer(path) as writer:
        writer.emit(Phase(name="a"))
    size = path.stat().st_size
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadData, match=f"byte {size}"):
        read(path)


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "events.jsonl"
    with Writer(path), pytest.raises(Locked), Writer(path):
        pass
    with Writer(path) as writer:
        writer.emit(Phase(name="a"))


def test_following_ends_with_the_writer_and_misses_nothing(tmp_path):
    path = tmp_path / "events.jsonl"
    lives = [True, True, True, False]
    names = iter("abc")

    def alive():
        # The writer's last act comes before it is seen dead.
        with Writer(path) as writer:
            if name := next(names, ""):
                writer.emit(Phase(name=name))
        return lives.pop(0)

    waits = []
    found = list(follow(path, offset=0, alive=alive, wait=lambda: waits.append(1)))
    assert [e.name for e in found if isinstance(e, Phase)] == ["a", "b", "c"]
    assert not lives


def test_following_a_file_that_is_not_there_yet(tmp_path):
    lives = [True, False]
    waits = []
    path = tmp_path / "none"
    assert list(follow(path, alive=lambda: lives.pop(0), wait=lambda: waits.append(1))) == []
    assert waits == [1]


def test_a_loss_that_is_not_a_number_is_no_event():
    with pytest.raises(ValidationError):
        step(loss=float("nan"))
