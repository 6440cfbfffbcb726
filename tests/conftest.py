"""For every test: a state folder of its own, and one line at the end saying what was left out."""

from collections import Counter
from pathlib import Path

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

LEFT_OUT: Counter[str] = Counter()
LEFT = {"bench": "benches (make bench)", "gpu": "need a CUDA card (make gpu)"}


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a card runs wherever there is one."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing and not Path("/dev/nvidiactl").exists():
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_deselected(items: list[pytest.Item]) -> None:
    LEFT_OUT.update(
        next((why for mark, why in LEFT.items() if item.get_closest_marker(mark)), "not selected")
        for item in items
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        LEFT_OUT[report.longrepr[2].removeprefix("Skipped: ")] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = ", ".join(f"{count} {reason}" for reason, count in LEFT_OUT.items())
    terminalreporter.write_line(f"left out: {told or 'nothing'}")
