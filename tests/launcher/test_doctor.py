"""What is missing is named with its remedy; nothing that is found is shown."""

import pytest

from launcher.doctor import add_registry, examine, lines
from launcher.errors import ApiUnavailable
from launcher.settings import FoundSettings, Settings
from tests.launcher.rental.account import KEY, TOKEN, Account, VirtualWorld
from trainer.contract.command.errors import NotInstalled, Usage


class Engine:
    def version(self):
        return {"Version": "29.0"}

    def info(self):
        return {"Runtimes": {}}


def write_docker(world, text):
    path = world.home() / ".docker/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = VirtualWorld(Account(tmp_path / "cloud"))
    found.docker = Engine  # type: ignore[method-assign]
    found.answer = (  # type: ignore[method-assign]
        lambda command: '{"level": "full"}' if "datagen" in command else None
    )
    return found


def findings(world, **settings):
    found = FoundSettings(settings=Settings(**settings), sources=dict.fromkeys(settings, "a flag"))
    return examine(found, world=world)


def examined(world, **settings):
    return {item.what: item for item in findings(world, **settings)}


def test_all_is_well(world):
    found = examined(world, image_repo="ghcr.io/me/sft", registry="mine")
    assert {item.ok for item in found.values()} <= {True, None}
    assert found["key"].detail == "from environment variable RUNPOD_API_KEY"
    assert found["registry login"].remedy == "log in with: docker login ghcr.io"
    text = "\n".join(lines(list(found.values())))
    assert KEY not in text
    assert TOKEN not in text


def test_each_gap_has_its_remedy(world):
    def no_engine():
        raise NotInstalled("no Docker engine", "install it")

    world.docker = no_engine
    world.variables = {}
    found = examined(world, gpu="A10G")
    for what in ("key", "image", "engine"):
        assert found[what].ok is False
        assert found[what].remedy, what
    assert examined(world, image="x@sha256:0")["engine"].ok is None


def test_a_login_is_looked_for_where_docker_keeps_it(world):
    """Judge of the names: `docker logout`, in tests/system/test_docker_config.py."""
    assert examined(world, image_repo="me/sft")["registry login"].remedy.endswith("login docker.io")
    write_docker(world, '{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}')
    assert examined(world, image_repo="me/sft")["registry login"].ok
    write_docker(world, '{"credsStore": "nowhere"}')
    login = examined(world, image_repo="me/sft")["registry login"]
    assert (login.ok, login.detail) == (
        False,
        "docker.io: docker-credential-nowhere is not installed",
    )


def test_whatever_one_check_does_the_rest_are_shown(world, monkeypatch):
    def docker():
        raise RuntimeError("odd")

    world.docker = docker
    write_docker(world, "[]")
    found = examined(world, image_repo="me/sft")
    assert found["engine"].detail == "internal error: RuntimeError: odd"
    assert "config.json is invalid" in found["image"].detail
    assert found["disk"].ok
    world.variables["SFT_TRACEBACK"] = "1"
    with pytest.raises(RuntimeError, match="odd"):
        examined(world)


def test_a_clock_that_is_off_is_told(world, monkeypatch):
    monkeypatch.setattr(world.account, "clock_drift", lambda: 300.0)
    clock = examined(world)["clock"]
    assert clock.ok is False
    assert "300 s ahead" in clock.detail


def test_an_api_that_does_not_answer_does_not_hide_the_rest(world, monkeypatch):
    def pods(name=None):
        raise ApiUnavailable("no answer", "check the network")

    monkeypatch.setattr(world.account, "pods", pods)
    found = examined(world)
    assert found["key"].ok
    assert (found["api"].ok, found["api"].detail) == (False, "no answer")
    assert found["disk"].ok


def test_who_only_trains_here_has_nothing_missing(world, monkeypatch):
    def no_engine():
        raise NotInstalled("no Docker engine", "install it")

    world.docker, world.variables = no_engine, {}
    found = findings(world)
    assert [item for item in found if item.ok is False] == []
    assert {"packages", "card", "sandbox", "teacher key", "engine", "key", "image", "disk"} <= {
        item.what for item in found
    }
    text = lines(found)
    assert [line for line in text if line.endswith(":") and line[0] != " "] == [
        *("train on this machine:", "models from the hub:", "make data and evaluate:"),
        *("train in Docker:", "rent a card at RunPod:", "results:"),
    ]
    monkeypatch.setattr("launcher.doctor.NEEDED", ("torch", "no-such-package"))
    (missing,) = [item for item in findings(world) if item.ok is False]
    assert (missing.group, missing.detail) == (
        "train on this machine",
        "missing: no-such-package",
    )
    # Whoever rents needs no torch here.
    assert [item.what for item in findings(world, image="x") if item.ok is False] == ["key"]


def test_a_card_that_torch_cannot_use_is_told(world, monkeypatch):
    world.answer = lambda command: "NVIDIA A40, 46068\n" if "nvidia-smi" in command else None
    monkeypatch.setattr("launcher.doctor.version", lambda name: "2.13.0+cpu")
    world.variables = {}
    card = examined(world)["card"]
    assert (card.ok, card.detail) == (
        False,
        "NVIDIA A40 (48 GB); torch is its build without CUDA",
    )
    monkeypatch.setattr("launcher.doctor.version", lambda name: "2.13.0")
    assert examined(world)["card"].ok


@pytest.mark.parametrize("level", ["full", "reduced", "none"])
def test_the_sandbox_has_the_level_that_datagen_reports(world, level):
    world.answer = lambda command: f'{{"level": "{level}"}}' if "datagen" in command else None
    found = examined(world)["sandbox"]
    assert (found.ok, found.detail) == (True if level == "full" else None, f"level {level}")


def test_a_registry_token_needs_a_user(world):
    with pytest.raises(Usage, match="--username"):
        add_registry("mine", None, "token", world=world)
