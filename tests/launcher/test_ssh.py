import runpy
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from launcher.errors import ConnectionLost, HostKeyChanged, PodRefused
from launcher.ssh import connect, make_key
from trainer.contract.command.errors import Interrupted, NotFound, ResultRejected

REAL = runpy.run_path(str(Path(__file__).with_name("real_sshd.py")))
sshd, proxy, Sshd = REAL["sshd"], REAL["proxy"], REAL["Sshd"]


def enter(server, *, port=None, host_key=None, key=None, timeout=10.0):
    return connect(
        "127.0.0.1",
        port or server.port,
        user=server.user,
        key=key or server.key,
        host_key=host_key or server.host_key,
        timeout=timeout,
    )


@pytest.fixture
def session(sshd):
    with enter(sshd) as made:
        yield made


def test_a_key_is_made_for_nobody_else_to_read(tmp_path):
    public = make_key(tmp_path / "key")
    assert public.startswith("ssh-ed25519 AAAA")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key")
    assert make_key(tmp_path / "other") != public


def test_another_host_key_is_refused_before_anything_of_ours_is_sent(sshd, tmp_path):
    heard = len(sshd.log())
    with pytest.raises(HostKeyChanged, match="host key differs") as caught:
        enter(sshd, host_key=Sshd(tmp_path).host_key)
    assert "nothing was sent" in caught.value.hint
    wait_until(lambda: "[preauth]" in sshd.log()[heard:])
    said = sshd.log()[heard:]
    assert "Connection from" in said
    assert "publickey" not in said
    assert "authenticating" not in said


def test_the_right_key_gets_as_far_as_authentication(sshd, session):
    assert "Accepted publickey" in sshd.log()


def test_a_host_key_of_another_kind_is_refused(sshd):
    ecdsa = (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7"
        "opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
    )
    with pytest.raises(HostKeyChanged):
        enter(sshd, host_key=ecdsa)


@pytest.mark.parametrize(
    "line", ["nonsense", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA=="]
)
def test_what_is_no_host_key_cannot_be_pinned(sshd, line):
    heard = len(sshd.log())
    with pytest.raises(HostKeyChanged, match="invalid SSH host key"):
        enter(sshd, host_key=line)
    assert sshd.log()[heard:] == ""


def test_an_unknown_user_key_is_the_pods_no(sshd, tmp_path):
    make_key(tmp_path / "stranger")
    with pytest.raises(PodRefused, match="does not accept this run's key"):
        enter(sshd, key=tmp_path / "stranger")


def test_a_lost_key_file_is_named(sshd, tmp_path):
    with pytest.raises(NotFound, match="is missing"):
        enter(sshd, key=tmp_path / "none")


def test_nobody_there_is_a_lost_connection(sshd):
    with pytest.raises(ConnectionLost, match="refused"):
        enter(sshd, port=REAL["free_port"]())


def test_a_port_that_is_not_ssh_is_a_lost_connection_and_quiet(sshd, capfd):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectionLost):
        enter(sshd, port=silent.getsockname()[1], timeout=0.5)
    assert capfd.readouterr() == ("", "")


def test_a_command_gives_code_and_both_streams(session):
    done = session.run("cat; echo oops >&2; exit 3", stdin=[b"a secret ", b"on stdin"])
    assert (done.code, done.stdout, done.stderr) == (3, b"a secret on stdin", b"oops\n")


def test_much_on_both_streams_does_not_block(session):
    done = session.run("head -c 3000000 /dev/zero | tee /dev/stderr")
    assert len(done.stdout) == len(done.stderr) == 3_000_000


def test_a_command_that_ignores_its_input_still_ends(session):
    done = session.run("exit 7", stdin=[bytes(1 << 20)] * 8)
    assert done.code == 7


def test_a_killed_command_is_not_taken_for_a_finished_one(session):
    with pytest.raises(ConnectionLost, match="killed"):
        session.run("echo part; kill -9 $$")


def test_silence_is_a_lost_connection(session):
    with pytest.raises(ConnectionLost):
        session.run("sleep 20", timeout=0.2)


def test_a_cut_in_mid_command_is_told_from_its_end(sshd, proxy):
    gate = proxy()
    with enter(sshd, port=gate.port) as session:
        threading.Timer(0.3, gate.cut_all).start()
        with pytest.raises(ConnectionLost):
            session.run("echo first; sleep 20")
    with pytest.raises(ConnectionLost):
        session.run("true")


def test_a_stream_starts_anywhere_and_stops_at_the_end(session, tmp_path):
    file = tmp_path / "a 'quoted' name"
    file.write_bytes(bytes(range(256)) * 4000)
    whole = file.read_bytes()
    for offset in (0, 1, 700_000, len(whole) - 1, len(whole)):
        assert b"".join(session.stream(str(file), offset)) == whole[offset:]


def test_a_stream_of_nothing(session, tmp_path):
    with pytest.raises(NotFound):
        list(session.stream(str(tmp_path / "none")))
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(ResultRejected, match="shorter than the 5 bytes"):
        list(session.stream(str(tmp_path / "short"), 5))


def test_put_is_whole_or_nothing_and_private(session, tmp_path):
    path = tmp_path / "new folder" / "job.json"
    session.put(str(path), b"{}")
    session.put(str(path), b'{"v": 1}')
    assert path.read_bytes() == b'{"v": 1}'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["job.json"]


def test_the_pods_reason_is_passed_on(session):
    with pytest.raises(PodRefused, match="No space left on device") as full:
        session.send("/dev/full", [b"x" * 100_000])
    assert "--mount" in full.value.hint
    with pytest.raises(PodRefused, match="cannot rename") as other:
        session.rename("/nowhere/a", "/nowhere/b")
    assert other.value.hint == ""


def test_several_threads_share_a_session(session):
    codes = {}

    def ask(number):
        codes[number] = session.run(f"sleep 0.1; exit {number}").code

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert codes == {number: number for number in range(6)}


def wait_until(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_link_cut_in_the_login_is_lost_and_not_refused(tmp_path):
    import paramiko

    class HangsUp(paramiko.ServerInterface):
        def get_allowed_auths(self, username):
            return "publickey"

        def check_auth_publickey(self, username, key):
            served[0].close()
            return paramiko.common.AUTH_FAILED

    host_key, _ = (make_key(tmp_path / name) for name in ("host", "key"))
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[paramiko.Transport] = []

    def serve():
        served.append(paramiko.Transport(listener.accept()[0]))
        served[0].add_server_key(paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "host")))
        served[0].start_server(event=threading.Event(), server=HangsUp())

    threading.Thread(target=serve).start()
    port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost):
        connect("127.0.0.1", port, user="root", key=tmp_path / "key", host_key=host_key)
    served[0].join(5)
    listener.close()


@pytest.mark.parametrize("speaks", [False, True], ids=["no banner", "a banner, no keys"])
def test_a_connection_attempt_ends_when_it_is_told_to(speaks, tmp_path):
    """A server that never completes the login: Ctrl-C is not kept waiting for the timeout."""
    key = tmp_path / "key"
    public = make_key(key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve():
            taken.append(server.accept()[0])
            if speaks:
                taken[0].sendall(b"SSH-2.0-slow\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(Interrupted, match="interrupted while connecting"):
            connect(
                "127.0.0.1",
                server.getsockname()[1],
                user="root",
                key=key,
                host_key=public,
                timeout=60.0,
                stop=lambda: bool(taken),
            )
        thread.join()
        taken[0].close()
