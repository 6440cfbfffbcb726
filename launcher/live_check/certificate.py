"""The certificate of a live check: what held and what broke on which card, as JSON and as a page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from launcher import installed_version
from launcher.doctor import Finding
from launcher.quote.measured import Measured
from trainer.contract.command.crash_safe_files import write_whole

JSON, PAGE = "certificate.json", "certificate.md"
State = Literal["held", "broken", "skipped"]
STATES: dict[bool | None, State] = {True: "held", False: "broken", None: "skipped"}


class Check(BaseModel):
    """One promise and its evidence."""

    model_config = ConfigDict(frozen=True)

    what: str
    state: State
    evidence: str
    remedy: str = ""


class Certificate(BaseModel):
    """No key, no path of this machine, and no row is in it."""

    model_config = ConfigDict(frozen=True)

    v: int = 1
    made: str
    version: str
    api: str
    card: str
    checks: list[Check]
    measured: list[Measured]
    receipts: list[dict[str, Any]]

    @property
    def state(self) -> State:
        """Broken if one check is; skipped checks do not count."""
        return "broken" if any(one.state == "broken" for one in self.checks) else "held"

    def lines(self) -> list[str]:
        shown: list[str] = []
        for one in self.checks:
            shown.append(f"{one.state:8} {one.what}: {one.evidence}")
            if one.state != "held" and one.remedy:
                shown.append(f"         -> {one.remedy}")
        return shown

    def page(self) -> str:
        """The same in Markdown."""
        rows = [
            f"| {one.what} | {one.state} | {one.evidence.replace('|', '/')} |"
            for one in self.checks
        ]
        return "\n".join(
            [
                f"# {self.card}, {self.made}: {self.state}",
                "",
                f"`launch doctor --live`, sft-launch {self.version}, API {self.api}.",
                "",
                "| check | state | evidence |",
                "| --- | --- | --- |",
                *rows,
                "",
            ]
        )

    def write(self, folder: Path) -> None:
        write_whole(folder / JSON, self.model_dump_json(indent=2) + "\n")
        write_whole(folder / PAGE, self.page())


def make(
    findings: list[Finding],
    *,
    now: float,
    api: str,
    card: str,
    measured: list[Measured],
    receipts: list[dict[str, Any]],
    paths: Mapping[Path, str],
) -> Certificate:
    """Put the findings together; ``paths`` of this machine are replaced by their names."""

    def short(text: str) -> str:
        for path, name in paths.items():
            text = text.replace(str(path), name)
        return text

    checks = [
        Check(what=f.what, state=STATES[f.ok], evidence=short(f.detail), remedy=short(f.remedy))
        for f in findings
    ]
    return Certificate(
        made=f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC",
        version=installed_version(),
        api=urlsplit(api).netloc,
        card=card,
        checks=checks,
        measured=measured,
        receipts=receipts,
    )
