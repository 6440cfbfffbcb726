"""For every test: its own state folder, and no terminal width; at the end one line says what was left out."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, and no time limit on one or all of them: machines differ.
settings.register_profile(
    "project",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")

DESELECTED: dict[str, int] = {}
SKIPPED: Counter[str] = Counter()
LEFT = {"bench": "benches (make bench)", "gpu": "need a CUDA card (make gpu)"}


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it


def group_of(test: str) -> str:
    """What runs together in one process: a file's tests, and all that share the Docker engine."""
    return "tests/system" if test.startswith("tests/system/") else test.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``, which ``make test`` gives: divide the tests by group."""
    from xdist.scheduler import LoadScopeScheduling

    found = LoadScopeScheduling(config, log)
    found._split_scope = group_of
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``-n``: tell the process that prints the summary what this one left out."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["deselected"] = dict(DESELECTED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every process collects all tests, so each has the same to tell."""
    DESELECTED.update(getattr(node, "workeroutput", {}).get("deselected", {}))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a card runs wherever there is one."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing and not Path("/dev/nvidiactl").exists():
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        why = (why for mark, why in LEFT.items() if item.get_closest_marker(mark))
        reason = next(why, "not selected")
        DESELECTED[reason] = DESELECTED.get(reason, 0) + 1


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        SKIPPED[report.longrepr[2].removeprefix("Skipped: ")] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = ", ".join(f"{count} {reason}" for reason, count in {**DESELECTED, **SKIPPED}.items())
    terminalreporter.write_line(f"left out: {told or 'nothing'}")
