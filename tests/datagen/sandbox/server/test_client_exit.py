"""A server that computes, and so reads no message, ends with the process that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

# A server that is asked to start and then never ends to judge what it is asked for.
SERVER = """
import socket, sys
from datagen.sandbox.server.table_server import run

def busy(setup):
    print("busy", flush=True)
    while True:
        pass

run(socket.socket(fileno=int(sys.argv[1])), busy)
"""
CLIENT = """
import signal, socket, subprocess, sys
from datagen.sandbox import frames

# A shell that starts the tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
ours, theirs = socket.socketpair()
command = [sys.executable, "-c", sys.argv[1], str(theirs.fileno())]
server = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
theirs.close()
frames.write_frame(ours.fileno(), {"tables": {}})
assert server.stdout.readline() == b"busy\\n"
print(server.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_starting_ends_with_its_client(how):
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    with client:
        assert client.stdout is not None
        server = int(client.stdout.readline())
        client.send_signal(how)
    try:
        assert ends(server)
    finally:
        if not ends(server, seconds=0):
            os.kill(server, signal.SIGKILL)


def ends(pid: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not (gone := _is_gone(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
