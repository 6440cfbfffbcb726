"""Settings and secrets: every source, in order, and no value in any message."""

import argparse

import pytest

from launcher import secrets
from launcher.errors import KeyRejected
from launcher.settings import FoundSettings, Settings, add_flags, given, load
from launcher.world import World
from trainer.contract.command.errors import BadJob

CANARY = "rpa_CANARY42"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user with nothing set up, in an empty project."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_TOKEN_PATH", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in (secrets.RUNPOD, secrets.HUGGING_FACE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_later_source_wins(home, monkeypatch):
    world = World()
    assert load({}, world=world) == Settings()
    write(home / ".config/sft-launch/launch.toml", 'gpu = "L4"\nmax_cost = 5\nmax_hours = 1')
    assert load({}, world=world).gpu == "L4"
    write(home / "project/launch.toml", 'gpu = "A40"\nmax_hours = 2')
    monkeypatch.setenv("SFT_MAX_HOURS", "3")
    parser = argparse.ArgumentParser()
    add_flags(parser)
    flags = given(parser.parse_args(["--on-deadline", "delete"]))
    found = FoundSettings.read(flags, world=world)
    wanted = Settings(gpu="A40", max_cost=5, max_hours=3, on_deadline="delete")
    assert found.settings == wanted
    assert found.sources["max_hours"] == "SFT_MAX_HOURS"
    assert found.sources["gpu"] == "launch.toml"
    assert found.sources["on_deadline"] == "--on-deadline"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus = 1", "launch.toml: no setting 'gpus'; did you mean 'gpu'?"),
        ("max_cost = -1", "launch.toml: max_cost = -1"),
        ("max_cost =", "launch.toml: cannot be read as TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_source(home, text, said):
    write(home / "project/launch.toml", text)
    with pytest.raises(BadJob) as caught:
        load({}, world=World())
    assert said in caught.value.cause


def test_every_setting_says_what_it_is():
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("path", "text", "source"),
    [
        ("project/.env", f'# note\nexport RUNPOD_API_KEY="{CANARY}"\n', ".env"),
        (".runpod/config.toml", f"[default]\napi_key = '{CANARY}'\n", "config.toml"),
        (".runpod/config.toml", f"apikey = '{CANARY}'\n", "config.toml"),
    ],
)
def test_the_runpod_key_is_found_and_not_shown(home, path, text, source):
    with pytest.raises(KeyRejected, match="no RunPod key"):
        secrets.runpod(World())
    write(home / path, text)
    found = secrets.runpod(World())
    assert found.value == CANARY
    assert found.source.endswith(source)
    assert CANARY not in repr(found)


def test_the_environment_comes_before_files(home, monkeypatch):
    write(home / "project/.env", f"RUNPOD_API_KEY={CANARY}")
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_other")
    assert secrets.runpod(World()).value == "rpa_other"


def test_the_hub_token_comes_from_the_hubs_own_file(home):
    assert secrets.find(secrets.HUGGING_FACE, World()) is None
    write(home / ".cache/huggingface/token", "hf_x\n")
    found = secrets.find(secrets.HUGGING_FACE, World())
    assert found is not None
    assert found.value == "hf_x"
