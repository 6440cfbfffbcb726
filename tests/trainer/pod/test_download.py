"""The judge is this machine's kernel: real connections on the loopback, in its own tables."""

import socket
import time
from contextlib import contextmanager

import pytest

from trainer.pod import download


@contextmanager
def connection(host="127.0.0.1", family=socket.AF_INET):
    """Yield (server's side, client's side, port)."""
    with socket.socket(family) as listening:
        listening.bind((host, 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection((host, port)) as client:
            server, _ = listening.accept()
            with server:
                server.setblocking(False)
                yield server, client, port


def fill(server):
    """Send until the kernel takes no more."""
    try:
        while True:
            server.send(b"x" * 65536)
    except BlockingIOError:
        pass


def soon(what):
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_bytes_that_wait_for_a_slow_reader_are_a_download(host, family):
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with connection(host, family) as (server, client, port):
        assert not download.is_running(port)
        fill(server)
        soon(lambda: download.is_running(port))
        assert not download.is_running(port + 1 if port < 65535 else port - 1)
        while download.is_running(port):
            client.recv(1 << 20)


def test_a_session_that_only_lives_is_none():
    with connection() as (server, client, port):
        for _ in range(20):
            server.send(b"x" * 100)  # nobody reads it: the client's kernel confirms it
            assert not download.is_running(port)
        assert client.recv(10)


def test_an_upload_is_none():
    with connection() as (server, client, port):
        client.setblocking(False)
        fill(client)
        assert not download.is_running(port)
        assert server.recv(10)


def test_without_the_tables_nothing_is_known(tmp_path):
    assert not download.is_running(22, [tmp_path / "tcp"])
    (tmp_path / "tcp").write_text("head\n 0: nonsense\n")
    assert not download.is_running(22, [tmp_path / "tcp"])
