import os
import socket
import threading
import time

import pytest

from datagen.sandbox import frames


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_large_message_crosses_both_ways(pair):
    ours, theirs = pair
    message = {"code": "é" * 1_000_000}

    def echo() -> None:
        frames.write_frame(theirs.fileno(), frames.read_frame(theirs.fileno()))

    thread = threading.Thread(target=echo)
    thread.start()
    deadline = time.monotonic() + 10
    frames.write_frame(ours.fileno(), message, deadline=deadline)
    assert frames.read_frame(ours.fileno(), deadline=deadline) == message
    thread.join()


def test_reading_and_writing_end_at_the_deadline(pair):
    ours, _ = pair
    with pytest.raises(TimeoutError):
        frames.read_frame(ours.fileno(), deadline=time.monotonic() + 0.02)
    with pytest.raises(TimeoutError):
        frames.write_frame(ours.fileno(), "x" * 4_000_000, deadline=time.monotonic() + 0.02)


def test_trickled_frame_does_not_outlast_the_deadline(pair):
    ours, theirs = pair
    os.write(theirs.fileno(), b"\x00\x00\x00\x09{")
    with pytest.raises(TimeoutError):
        frames.read_frame(ours.fileno(), deadline=time.monotonic() + 0.02)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x00\x00\x00\x05{}", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x01{"]
)
def test_what_is_no_frame_is_broken(pair, data):
    ours, theirs = pair
    os.write(theirs.fileno(), data)
    theirs.close()
    with pytest.raises(frames.BrokenFrameError):
        frames.read_frame(ours.fileno(), deadline=time.monotonic() + 5)


def test_descriptor_travels_with_its_frame(pair):
    ours, theirs = pair
    reader, writer = os.pipe()
    frames.write_frame_with_fd(ours, {"open": 1}, writer)
    os.close(writer)
    frames.write_frame(ours.fileno(), {"close": 1})
    message, received = frames.read_frame_with_fd(theirs)
    assert (message, frames.read_frame_with_fd(theirs)) == ({"open": 1}, ({"close": 1}, None))
    assert received is not None
    os.write(received, b"y")
    assert os.read(reader, 1) == b"y"
    os.close(received)
    os.close(reader)
    ours.close()
    with pytest.raises(frames.BrokenFrameError):
        frames.read_frame_with_fd(theirs)
