"""Images on their way between this engine and a registry, layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launcher import docker_engine
from launcher.errors import NoEngine, PushRefused
from launcher.view.amount_text import size
from trainer.contract.command.errors import Interrupted

if TYPE_CHECKING:
    from launcher.context import Context


@dataclass
class _Push:
    """The state of a push so far, by layer."""

    digest: str | None = None
    error: str | None = None
    there: int = 0
    sent: dict[str, int] = field(default_factory=dict)


def push(repository: str, tag: str, *, client: Any, context: "Context") -> str:
    """Push ``repository:tag``; return the reference that pins it. Layers that are there are not sent."""
    context.view.say(f"pushing image {repository}:{tag}")
    state = _Push()
    what_fails = f"push to {repository} failed"
    with docker_engine.explained(what_fails):
        answer = client.api.push(repository, tag=tag, stream=True, decode=True)
    for line in docker_engine.stream(what_fails, answer):
        stop_if_interrupted(context)
        _note(line, state, context)
    if state.error is not None:
        raise docker_engine.refused(repository, state.error, client=client)
    if state.digest is None:
        raise PushRefused(f"push to {repository} returned no digest", "run the same command again")
    sent = sum(state.sent.values())
    context.view.say(
        f"pushed {len(state.sent)} layers ({size(sent)}); {state.there} were already there"
    )
    return f"{repository}@{state.digest}"


def _note(line: Mapping[str, Any], state: _Push, context: "Context") -> None:
    """Take in one line of the engine's output about a push. Sizes are before compression."""
    layer, status = str(line.get("id", "")), str(line.get("status", ""))
    detail = line.get("progressDetail") or {}
    if "error" in line:
        state.error = str(line["error"]).strip()
    elif "Digest" in line.get("aux", {}):
        state.digest = str(line["aux"]["Digest"])
    elif status == "Pushing" and "current" in detail:
        done = int(detail["current"])
        total = max(int(detail.get("total", 0)), done)  # the engine guesses the total
        state.sent[layer] = total
        context.view.progress(f"pushing layer {layer}, unpacked (bytes)", done, total)
    elif status == "Pushed":
        state.sent.setdefault(layer, 0)
    elif status == "Layer already exists" or status.startswith("Mounted from"):
        state.there += 1


def pull(reference: str, *, client: Any, context: "Context") -> None:
    """Pull ``repository:tag`` or ``repository@sha256:...``. Raises ``NoEngine`` with the engine's message."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    what_fails = f"image {reference} cannot be pulled"
    login = docker_engine.logins(client).remedy(docker_engine.registry_of(repository))
    remedy = f"check its name; for a private one, {login}"
    with docker_engine.explained(what_fails, remedy):
        answer = client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)
    there: dict[str, tuple[int, int]] = {}  # bytes that came and all, by layer
    for line in docker_engine.stream(what_fails, answer):
        stop_if_interrupted(context)
        if "error" in line:
            raise NoEngine(f"{what_fails}: {str(line['error']).strip()}", remedy)
        detail = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and "total" in detail:
            there[line["id"]] = int(detail["current"]), int(detail["total"])
        elif line.get("status") == "Download complete" and line["id"] in there:
            there[line["id"]] = (there[line["id"]][1],) * 2
        if there:
            came, due = (sum(part) for part in zip(*there.values(), strict=True))
            context.view.progress("pulling layers (bytes)", came, due)


def stop_if_interrupted(context: "Context") -> None:
    """Ctrl-C ends a build, a push or a pull between two lines of it."""
    if context.interrupted:
        raise Interrupted(
            "interrupted before anything was rented",
            "run the same command to continue: what was built or pushed is kept",
        )
