"""report.html in a real browser: it opens, filters work, nothing complains, and it fits a phone."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from launcher import report
from launcher.report import transcripts
from tests.launcher.report.made import make_run

PHONE = 390
WIDE = 1200


class Page:
    """One page of a headless Chromium, over its DevTools protocol."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.complaints: list[str] = []

    def visit(self, path: Path, *, width: int, scheme: str, ask: list[str]) -> list[Any]:
        """Open the file and evaluate the expressions in turn; complaints are collected."""
        return asyncio.run(self._visit(path, width, scheme, ask))

    async def _visit(self, path: Path, width: int, scheme: str, ask: list[str]) -> list[Any]:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{self._address}/json/new") as made:
                socket = (await made.json())["webSocketDebuggerUrl"]
            async with session.ws_connect(socket, max_msg_size=0) as wire:
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

                for domain in ("Page", "Runtime", "Log"):
                    await call(f"{domain}.enable")
                await call(
                    "Emulation.setDeviceMetricsOverride",
                    width=width, height=800, deviceScaleFactor=1, mobile=width == PHONE,
                )  # fmt: skip
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                await call("Emulation.setEmulatedMedia", features=features)
                await call("Page.navigate", url=path.as_uri())
                await call("Runtime.evaluate", expression=LOADED, awaitPromise=True)
                found = []
                for expression in ask:
                    done = await call("Runtime.evaluate", expression=expression, returnByValue=True)
                    found.append(done["result"].get("value"))
                return found

    def _hear(self, said: dict[str, Any]) -> None:
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["params"]))
        entry = said.get("params", {}).get("entry", {})
        if said.get("method") == "Log.entryAdded" and entry.get("level") in {"error", "warning"}:
            self.complaints.append(entry["text"])


LOADED = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("browser tests: no chromium; run: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [found, *flags, f"--user-data-dir={profile}", "about:blank"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "DevTools listening on ws://" in line:
            yield line.split("ws://")[1].split("/")[0]
            break
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return report.write(make_run(tmp_path / "run", questions=30))


SHOWN = "document.querySelectorAll('#list li').length"
PRESS = "[...document.querySelectorAll('#filters button')].find(b => b.textContent.startsWith('{}')).click()"
SEARCH = """(() => {
    const field = document.getElementById('search');
    field.value = 'question 5?';
    field.dispatchEvent(new Event('input'));
})()"""
OPEN_FIRST = """(() => {
    const first = document.querySelector('#list details');
    first.open = true;
    first.dispatchEvent(new Event('toggle'));
})()"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_it_opens_draws_filters_and_searches_without_a_complaint(browser: str, path: Path) -> None:
    page = Page(browser)
    found = page.visit(
        path,
        width=WIDE,
        scheme="light",
        ask=[
            "document.title",
            "document.querySelector('.first').textContent",
            "document.querySelectorAll('.chart .main-svg').length > 3",
            SHOWN,
            PRESS.format("lost"),
            SHOWN,
            "document.querySelector('#list details').open = true",
            SEARCH,
            SHOWN,
            PRESS.format("won"),
            SHOWN,
        ],
    )
    assert found[0] == "run-1"
    assert found[1] == "the adapter is BETTER than the base by +0.500"
    assert found[2] is True
    assert [found[3], found[5], found[8], found[10]] == [20, 8, 2, 0]
    assert page.complaints == []


def test_base_and_adapter_stand_side_by_side(browser: str, path: Path) -> None:
    page = Page(browser)
    sides = "[...document.querySelectorAll('#list .sides h4')].map(h => h.textContent).join()"
    found = page.visit(
        path, width=WIDE, scheme="light",
        ask=[OPEN_FIRST, sides, "document.querySelectorAll('#list b').length"],
    )  # fmt: skip
    assert found[1] == "base: wrong,adapter: right"
    assert found[2] == 0  # markup in an answer stays text
    assert page.complaints == []


def test_where_the_page_has_no_room_for_an_answer_it_says_where_that_lies(
    browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts.read_pairs, "__kwdefaults__", {"room": 0})
    page = Page(browser)
    found = page.visit(
        report.write(make_run(tmp_path / "run")), width=WIDE, scheme="light",
        ask=[OPEN_FIRST, "document.querySelector('#list .sides').textContent", SHOWN],
    )  # fmt: skip
    assert found[1].count("see evaluation/ in the run folder") == 2
    assert found[2] == 4
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_is_readable_in_the_dark(browser: str, path: Path, scheme: str) -> None:
    page = Page(browser)
    contrast = """(() => {
        const light = (c) => c.match(/\\d+/g).slice(0, 3).reduce((sum, v) => sum + Number(v), 0) / 765;
        const style = getComputedStyle(document.body);
        const ground = getComputedStyle(document.documentElement).backgroundColor;
        const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? 0.07 : 1;
        const below = ground === 'rgba(0, 0, 0, 0)' ? canvas : light(ground);
        return Math.abs(light(style.color) - below);
    })()"""
    overflow, difference = page.visit(path, width=PHONE, scheme=scheme, ask=[OVERFLOW, contrast])
    assert overflow <= 0
    assert difference > 0.6
    assert page.complaints == []
