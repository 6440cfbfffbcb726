"""Docker's configuration as people have it. Judge: the real ``docker`` command in the same configuration."""

import json
import os
import shutil
import subprocess
from contextlib import closing

import pytest

from launcher.docker_engine.config import Logins
from launcher.errors import NoEngine, PushRefused
from launcher.image.build import Recipe, standing
from launcher.world import World
from tests.system.registry import private_registry

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command"),
]
HUB = "https://index.docker.io/v1/"
PASSWORD = "CANARY-registry-0123"
STORE = """\
#!/bin/sh
cd "$(dirname "$0")" || exit 1
case $1 in
  store) cat >stored ;;
  get) cat >/dev/null; [ -s stored ] && cat stored || { echo credentials not found in native keychain; exit 1; } ;;
  list) echo '{}' ;;
  erase) rm -f stored ;;
esac
"""


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """``configured(config, **variables)``: a user with this ``config.json``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)

    def do(config: str, **variables: str) -> World:
        (tmp_path / ".docker").mkdir(exist_ok=True)
        (tmp_path / ".docker/config.json").write_text(config)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return World()

    return do


def docker(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], input=said, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "config",
    [
        "{", "[]", '"x"', '{"credsStore": 3}', '{"credHelpers": ["x"]}', '{"auths": ["x"]}',
        '{"auths": {"q.io": "x"}}', '{"auths": {"q.io": {"auth": "?"}}}', '{"auths": {"q.io": {"auth": "dXNlcg=="}}}',
        '{"auths": {"q.io": {"auth": 3}}}', '{"proxies": "x"}', '{"HttpHeaders": "x"}', '{"currentContext": 3}',
        "", "{}", '{"auths": null}', '{"auths": {"q.io": {}}}', '{"auths": {"q.io": {"auth": ""}}}',
        '{"credsStore": "nowhere"}', '{"credHelpers": {"q.io": "nowhere"}}', '{"new": 1}',
    ],
)  # fmt: skip
def test_a_file_is_invalid_where_the_command_cannot_parse_it(configured, config):
    world = configured(config)
    warned = "Error parsing config file" in docker("version").stderr
    try:
        with closing(world.docker()):
            found = ""
    except NoEngine as fault:
        found = fault.cause
    assert ("config.json is invalid" in found) is warned, found


@pytest.mark.parametrize(
    ("config", "variables"),
    [
        ('{"currentContext": "gone"}', {}),
        ("{}", {"DOCKER_CONTEXT": "gone"}),
        ('{"currentContext": "gone"}', {"DOCKER_CONTEXT": "default"}),
        ('{"currentContext": "gone"}', {"DOCKER_HOST": "unix:///var/run/docker.sock"}),
        ("{}", {"DOCKER_HOST": "tcp://127.0.0.1:99999"}),
        ("{}", {"DOCKER_HOST": "tcp://127.0.0.1:abc"}),
        ("{}", {"DOCKER_HOST": "tcp://127.0.0.1:9"}),
        ("{}", {"DOCKER_HOST": "ftp://127.0.0.1"}),
        ("{}", {"DOCKER_HOST": "unix://"}),
        ("{}", {"DOCKER_HOST": "unix:///nowhere.sock"}),
        ("{}", {"DOCKER_HOST": "tcp://127.0.0.1:9", "DOCKER_TLS_VERIFY": "1"}),
    ],
)
def test_an_engine_answers_where_it_answers_the_command(configured, config, variables):
    world = configured(config, **variables)
    there = docker("version").returncode == 0
    try:
        with closing(world.docker()):
            found, cause = True, ""
    except NoEngine as fault:
        found, cause = False, fault.cause
        # The next step, executed.
        remedy = fault.hint.partition("engine: ")[2]
        follow = f"{remedy}; docker version >&2; echo $? ${{DOCKER_HOST-unset}} ${{DOCKER_CONTEXT-unset}}"
        assert subprocess.getoutput(f"( {follow} ) 2>/dev/null").endswith("0 unset unset")
    assert (found, "\n" in cause) == (there, False)


def test_logins_are_where_the_command_keeps_them(configured, tmp_path):
    config = json.dumps({"auths": {HUB: {"auth": "dTpw"}}})
    world = configured(config)
    assert Logins.read(world.variable, world.home()).login("docker.io")[0]
    assert f"Removing login credentials for {HUB}" in docker("logout").stdout
    assert not Logins.read(world.variable, world.home()).login("docker.io")[0]


def test_a_private_registry_with_each_kind_of_login(configured, engine, tmp_path):
    (tmp_path / "registry").mkdir()
    with private_registry(tmp_path / "registry", user="me", password=PASSWORD) as registry:
        repository, what = f"{registry}/me/sft", Recipe({}, {})

        def look(world: World) -> str:
            """How far the image is there; or the refusal, without a word of the password."""
            with closing(world.docker()) as client:
                try:
                    return standing(what, repository, client=client).name
                except PushRefused as fault:
                    return str(fault).replace(PASSWORD, "leaked")

        for config, source in (
            ("{}", ".docker/config.json"),
            ('{"credsStore": "it"}', "credential-it"),
        ):
            (tmp_path / "docker-credential-it").write_text(STORE)
            (tmp_path / "docker-credential-it").chmod(0o755)
            world = configured(config)
            assert f"log in with: docker login {registry}" in look(world)
            done = docker("login", "-u", "me", "--password-stdin", registry, said=PASSWORD)
            assert done.returncode == 0, done.stderr
            assert Logins.read(world.variable, world.home()).login(registry)[0].endswith(source)
            assert look(world) == f"{repository}:{what.tag}"
        world = configured('{"credsStore": "gone"}')
        assert docker("pull", f"{repository}:x").returncode
        assert "docker-credential-gone is not installed" in look(world)
        assert "install or repair docker-credential-gone" in look(world)
        assert "leaked" not in look(world)
