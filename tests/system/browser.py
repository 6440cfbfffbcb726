"""A headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

PHONE = 390
WIDE = 1280
SHOT = "screenshot"
"""Asked for in place of an expression: the picture of what is shown, as PNG."""
LOADED = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"


@contextmanager
def chromium(profile: Path) -> Iterator[str | None]:
    """Start a browser and yield its address; None where none is installed."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        yield None
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    flags += ["--hide-scrollbars", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen([found, *flags], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        listening = next(line for line in process.stderr if "DevTools listening on ws://" in line)
        yield listening.split("ws://")[1].split("/")[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


class Page:
    """One page of the browser; ``complaints`` are its errors and warnings, ``requests`` the addresses it loads."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def visit(
        self, path: Path, *, width: int, ask: list[str], scheme: str = "light", height: int = 800
    ) -> list[Any]:
        """Open the file and return the values of the expressions."""
        return asyncio.run(self._visit(path, (width, height), scheme, ask))

    async def _visit(
        self, path: Path, size: tuple[int, int], scheme: str, ask: list[str]
    ) -> list[Any]:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{self._address}/json/new") as made:
                target = await made.json()
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as wire:
                number = 0

                async def call(method: str, **given: Any) -> dict[str, Any]:
                    nonlocal number
                    number += 1
                    await wire.send_json({"id": number, "method": method, "params": given})
                    while True:
                        said = await wire.receive_json(timeout=60)
                        self._hear(said)
                        if said.get("id") == number:
                            assert "error" not in said, said
                            return dict(said["result"])

                for domain in ("Page", "Runtime", "Log", "Network"):
                    await call(f"{domain}.enable")
                width, height = size
                await call(
                    "Emulation.setDeviceMetricsOverride",
                    width=width, height=height, deviceScaleFactor=1, mobile=width == PHONE,
                )  # fmt: skip
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                await call("Emulation.setEmulatedMedia", features=features)
                await call("Page.navigate", url=path.as_uri())
                await call("Runtime.evaluate", expression=LOADED, awaitPromise=True)
                found = []
                for expression in ask:
                    if expression == SHOT:
                        shot = await call("Page.captureScreenshot", format="png")
                        found.append(base64.b64decode(shot["data"]))
                        continue
                    done = await call("Runtime.evaluate", expression=expression, returnByValue=True)
                    found.append(done["result"].get("value"))
            async with session.get(f"http://{self._address}/json/close/{target['id']}"):
                return found

    def _hear(self, said: dict[str, Any]) -> None:
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["params"]))
        if said.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["params"]["request"]["url"])
        entry = said.get("params", {}).get("entry", {})
        if said.get("method") == "Log.entryAdded" and entry.get("level") in {"error", "warning"}:
            self.complaints.append(entry["text"])
