"""Run `vllm serve` on the loopback address: base and adapter from one loaded base."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datagen.models.local.weights import CONFIG, ModelLocation
from datagen.progress import Progress
from trainer.contract.command.errors import ModelUnavailable, NotInstalled

COMMAND = "vllm"
BASE, ADAPTER = "base", "adapter"
"""What the server calls its models."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` takes (vllm/config/lora.py)."""
MAX_CONTEXT = 32_768
"""Tokens of prompt and reply at most: a model that reads more would want a card's memory for one row."""
POLL_SECONDS = 0.5
SILENT_SECONDS = 900.0  # seconds without a line in its log: it hangs
END_SECONDS = 30.0
TAIL_LINES = 12
LINE_CHARACTERS = 100  # letters of its last line
INSTALL = "install vLLM in a separate environment (it needs other library versions) and put its bin/ on PATH"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server that is ready answers; `alive`: it still runs; `tail`: the end of its log."""

    url: str
    key: str
    alive: Callable[[], bool]
    tail: Callable[[], list[str]]

    def fault(self, cause: str) -> ModelUnavailable:
        """Return the fault that the server ended, with the end of its log."""
        return ModelUnavailable(
            cause, "read its log, or use --engine transformers", faults=self.tail()
        )


def why_not_servable(location: ModelLocation) -> str | None:
    """Return why vLLM cannot serve these weights, or None."""
    if location.adapter is not None and _config(location.adapter).get("use_dora"):
        return "vLLM cannot serve DoRA adapters"
    if location.adapter is not None and rank(location.adapter) > RANKS[-1]:
        return f"vLLM serves adapters of rank {RANKS[-1]} at most"
    return None


def rank(adapter: Path) -> int:
    return int(str(_config(adapter).get("r", RANKS[0])))


def _config(adapter: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((adapter / CONFIG).read_text("utf-8"))
    return found


def arguments(location: ModelLocation, *, port: int, context: int, dtype: str) -> list[str]:
    """The command line after `vllm`.

    `--generation-config vllm`: a base's own defaults, such as a repetition penalty, would change what
    a likeliest token is. Its tokenizer is the base's, for a text that is not used: what goes in and
    comes out are token ids.
    """
    words = ["serve", location.base, "--host", "127.0.0.1", "--port", str(port)]
    words += ["--served-model-name", BASE, "--dtype", dtype]
    words += ["--max-model-len", str(min(context, MAX_CONTEXT)), "--generation-config", "vllm"]
    if location.revision is not None:
        words += ["--revision", location.revision]
    if location.adapter is not None:
        ceiling = next(size for size in RANKS if size >= rank(location.adapter))
        words += ["--enable-lora", "--max-lora-rank", str(ceiling)]
        words += ["--lora-modules", f"{ADAPTER}={location.adapter}"]
    return words


@contextmanager
def serving(
    location: ModelLocation,
    *,
    context: int,
    dtype: str,
    log: Path,
    ready: Callable[[Address], bool],
) -> Iterator[Address]:
    """A server over the weights of `location`; it and all it started end with the block, or with us.

    `ready` checks whether it answers already. What it prints goes to `log`. Raises NotInstalled, and
    ModelUnavailable with the end of its log where it does not come up.
    """
    found = shutil.which(COMMAND)
    if found is None:
        raise NotInstalled(
            "the command vllm is not on PATH", f"{INSTALL}; or use --engine transformers"
        )
    port = _free_port()
    key = secrets.token_urlsafe(24)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        words = [found, *arguments(location, port=port, context=context, dtype=dtype)]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "datagen.models.vllm", *words],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The key by the environment: any user of this machine can read arguments.
            env={**os.environ, "VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1"},
        )
    address = Address(
        url=f"http://127.0.0.1:{port}/v1",
        key=key,
        alive=lambda: process.poll() is None,
        tail=lambda: _tail(log),
    )
    try:
        _wait(address, log, ready)
        yield address
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(address: Address, log: Path, ready: Callable[[Address], bool]) -> None:
    begun = time.monotonic()

    def news() -> list[str]:
        last = "".join(_tail(log)[-1:])[:LINE_CHARACTERS]
        return [f"{time.monotonic() - begun:.0f} s  {last}"]

    with Progress("starting vLLM", 1, details=news) as progress:
        while not ready(address):
            if not address.alive():
                raise address.fault(f"vLLM ended before it was ready, see {log}")
            if time.time() - log.stat().st_mtime > SILENT_SECONDS:
                raise address.fault(
                    f"vLLM printed nothing for {SILENT_SECONDS / 60:.0f} min, see {log}"
                )
            progress.refresh()
            time.sleep(POLL_SECONDS)
        progress.advance()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> list[str]:
    try:
        lines = log.read_bytes()[-16_384:].decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-TAIL_LINES:]
