"""What a person sees of layers that travel, from the words that the engine uses."""

from pathlib import Path
from typing import Any

import docker.errors
import pytest

from launcher.context import Context
from launcher.docker_engine.config import Logins
from launcher.errors import NoEngine
from launcher.image import transfer
from launcher.world import Interrupts, World
from trainer.contract.command.errors import Interrupted

PULL: list[dict[str, Any]] = [
    {"id": "7", "status": "Pulling from me/it"},
    {"id": "aa", "status": "Pulling fs layer", "progressDetail": {}},
    {"id": "bb", "status": "Already exists", "progressDetail": {}},
    {"id": "aa", "status": "Downloading", "progressDetail": {"current": 10, "total": 2000}},
    {"id": "cc", "status": "Downloading", "progressDetail": {"current": 10, "total": 1000}},
    {"id": "aa", "status": "Download complete", "progressDetail": {}},
    {"id": "aa", "status": "Extracting", "progressDetail": {"current": 5, "total": 2000}},
    {"status": "Digest: sha256:d"},
]


class Engine:
    """Says ``lines``, or refuses with ``denies``; remembers what it was asked for."""

    def __init__(self, *lines: dict[str, Any], denies: str = "") -> None:
        self.api, self.lines, self.denies = self, lines, denies
        self.asked: list[tuple[str, str]] = []
        self._auth_configs = Logins({}, Path("config.json"), "")

    def push(self, repository: str, *, tag: str, **how: Any) -> Any:
        self.asked.append((repository, tag))
        if self.denies:
            raise docker.errors.APIError(self.denies, explanation=self.denies)
        return iter(self.lines)

    pull = push


@pytest.fixture
def context(heard) -> Context:
    return Context(World(), heard)


def test_a_push_is_told_by_layer(context, heard):
    engine = Engine(
        {"id": "aa", "status": "Pushing", "progressDetail": {"current": 10, "total": 2000}},
        {"id": "bb", "status": "Layer already exists"},
        {"id": "aa", "status": "Pushing", "progressDetail": {"current": 2100, "total": 2000}},
        {"id": "aa", "status": "Pushed"},
        {"aux": {"Digest": "sha256:d"}},
    )
    assert transfer.push("me/it", "7", client=engine, context=context) == "me/it@sha256:d"
    assert any(line.startswith("pushing layer aa, unpacked 0.0/2.0 kB") for line in heard.lines)
    assert "pushed 1 layers (2.1 kB); 1 were already there" in heard.lines


def test_a_pull_is_told_over_all_layers(context, monkeypatch):
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(context.view, "progress", lambda *seen: told.append(seen))
    transfer.pull("me/it:7", client=Engine(*PULL), context=context)
    name = "pulling layers (bytes)"
    assert list(dict.fromkeys(told)) == [
        (name, 10, 2000),
        (name, 20, 3000),
        (name, 2010, 3000),
    ]


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("me/it", ("me/it", "latest")),
        ("registry.example:5000/it:7", ("registry.example:5000/it", "7")),
        ("me/it@sha256:d", ("me/it", "sha256:d")),
    ],
)
def test_what_is_pulled_is_what_was_named(context, reference, asked):
    engine = Engine(*PULL)
    transfer.pull(reference, client=engine, context=context)
    assert engine.asked == [asked]


@pytest.mark.parametrize(
    "engine", [Engine(*PULL, {"error": "no space left"}), Engine(denies="no space left")]
)
def test_what_the_engine_says_to_a_pull_is_told(context, engine):
    with pytest.raises(NoEngine, match=r"me/it cannot be pulled: no space left[\s\S]*docker login"):
        transfer.pull("me/it", client=engine, context=context)


def test_a_pull_can_be_interrupted(heard):
    context = Context(World(), heard, interrupts=Interrupts(1))
    with pytest.raises(Interrupted, match="before anything was rented"):
        transfer.pull("me/it", client=Engine(*PULL), context=context)
