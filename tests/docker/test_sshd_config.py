"""The pod's sshd as it reads its own configuration; compared with what ssh-audit and its guides ask for."""

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from launcher.ssh import connect, make_key

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "docker" / "sshd_config").read_text("utf-8")
REAL = runpy.run_path(str(ROOT / "tests" / "launcher" / "real_sshd.py"))
SSHD, Sshd = REAL["SSHD"], REAL["Sshd"]

ALGORITHMS = ("kexalgorithms", "ciphers", "macs")
WEAK = re.compile(
    r"nistp|diffie-hellman|sha1|md5|umac-64|cbc|3des|arcfour|"
    r"^(umac-128@openssh\.com|hmac-sha2-256|hmac-sha2-512)$"  # encrypt and MAC
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd here (apt-get install openssh-server)")
    return Sshd(tmp_path_factory.mktemp("sshd"))


def understood(server, config: str) -> dict[str, str]:
    """What sshd takes the configuration for, its keys small."""
    path = server.folder / "asked"
    path.write_text(re.sub(r"(?m)^HostKey .*", f"HostKey {server.folder}/host", config))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    done = subprocess.run([SSHD, "-T", "-f", path], capture_output=True, text=True, check=True)
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


def weak(options: dict[str, str]) -> set[str]:
    names = (name for kind in ALGORITHMS for name in options[kind].split(","))
    return {name for name in names if WEAK.search(name)}


def test_one_key_may_enter_and_do_nothing_but_run_commands(server):
    options = understood(server, CONFIG)
    assert options["authenticationmethods"] == "publickey"
    assert options["permitrootlogin"] in {"without-password", "prohibit-password"}
    assert options["allowusers"] == "root"
    assert options["authorizedkeysfile"] == "/run/sft/authorized_keys"
    refused = (
        *("passwordauthentication", "kbdinteractiveauthentication", "hostbasedauthentication"),
        *("gssapiauthentication", "permitemptypasswords", "usepam", "permituserenvironment"),
        *("permituserrc", "allowtcpforwarding", "allowagentforwarding", "x11forwarding"),
        *("allowstreamlocalforwarding", "permittunnel", "gatewayports", "compression"),
    )
    assert {name: options.get(name, "no") for name in refused} == dict.fromkeys(refused, "no")
    assert options["strictmodes"] == "yes"
    assert int(options["maxauthtries"]) <= 3
    assert 0 < int(options["logingracetime"]) <= 60


def test_nothing_weak_is_offered(server):
    """Removed from sshd's own lists, so that what a newer one has stays on offer."""
    options = understood(server, CONFIG)
    assert weak(options) == set()
    assert "curve25519-sha256" in options["kexalgorithms"].split(",")
    assert "hmac-sha2-256-etm@openssh.com" in options["macs"].split(",")


def test_the_launcher_enters_with_what_is_left(server):
    server.accept(make_key(server.key))
    kept = [line for line in CONFIG.splitlines() if line.startswith(("Kex", "MACs", "Compression"))]
    assert len(kept) == 3
    server.start(more="\n".join(kept))
    try:
        with connect(
            "127.0.0.1", server.port, user=server.user, key=server.key, host_key=server.host_key
        ) as session:
            assert session.run("echo in").stdout == b"in\n"
    finally:
        server.stop()
