"""What a job would train on, proved and counted before anything is spent: findings, lengths, real rows.

What is ``blocked`` here is refused by the training too; a ``warning`` is not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.attention.choice import choose
from trainer.attention.kernels import packs
from trainer.contract import validation
from trainer.contract.command.errors import BadData, ModelUnavailable
from trainer.contract.command.slow_work import telling
from trainer.contract.job import Job
from trainer.contract.rows import Row, Rows, read_rows
from trainer.data import duplicates
from trainer.data.encode import Examples, encode_rows
from trainer.data.lint import lint, runs
from trainer.data.masks import Encoded, preview
from trainer.data.prepare import Opened, open_tokenizer
from trainer.pretrained import load_config

SHOWN_ROWS = 20
SHOWN_LINES = 10
BAR = 40
PASSED = {
    "masks": "{turns} trained turns, each in the loss to its stop token {stop}, and nothing else is",
    "doubles": "no BOS, EOS or stop token stands twice in a row",
    "content": "no text in a row can pass for a turn of the chat",
    "prefix": "every trained turn is written, and follows what it follows, as when it is asked for",
}
PAGE = Path(__file__).with_name("check.html.j2")


@dataclass(frozen=True, slots=True)
class Finding:
    """``lines`` says where, ``file:line: what: what to do``."""

    name: str
    state: Literal["ok", "warning", "blocked"]
    text: str
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as the model reads it: stretches of text, and whether each is trained on."""

    where: str
    parts: list[tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class Report:
    """``lengths``: (longest in the bin, rows), in tokens, of the rows that are trained on."""

    data: str
    model: str
    rows: int
    tokens: int
    trained_tokens: int
    findings: list[Finding]
    lengths: list[tuple[int, int]]
    shown: list[Shown]

    def raise_if_blocked(self) -> None:
        """Raise ``BadData`` when the job cannot be trained."""
        if blocked := [f.name for f in self.findings if f.state == "blocked"]:
            raise BadData(
                f"{self.data} is not to be trained on: {', '.join(blocked)}",
                "correct what is blocked above",
            )

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        found = []
        for finding in self.findings:
            found.append(f"{finding.state:<8} {finding.name:<8} {finding.text}")
            found += [f"{'':<18}{line}" for line in _some(finding.lines)]
        found.append(
            f"{self.tokens} tokens, {self.trained_tokens} of them trained; rows by length:"
        )
        most = max(count for _, count in self.lengths)
        for longest, count in self.lengths:
            bar = "█" * -(-count * BAR // most)
            found.append(f"{longest:>8} {count:>7} {bar}")
        for row in self.shown[:1]:
            found += [f"{row.where}, what is trained on in guillemets:", preview(row.parts)]
        return found

    def page(self) -> str:
        """Return the report as one HTML page that needs nothing else."""
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=True, undefined=StrictUndefined)
        most = max(count for _, count in self.lengths)
        return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
            report=self, most=most
        )


def check(job: Job) -> Report:
    """Judge the job's rows with the model's own tokenizer and template; loads no weights.

    What takes long is told on standard error. Raises ``BadData`` for rows that cannot be read or rendered
    at all, ``ModelUnavailable``.
    """
    doing = _Doing()
    with telling(lambda: doing.text):
        return _check(job, doing)


def _check(job: Job, doing: "_Doing") -> Report:
    validation.check(job)
    warnings: list[str] = []
    path = Path(job.data)
    rows = read_rows(path)
    doing.text = "loading the tokenizer"
    opened = open_tokenizer(job, warnings.append)
    judge = _Judge(opened, path, doing)
    examples = _encode(job, path, rows, opened, judge)
    held_out = held_out_examples = None
    if job.eval_data:
        held_out = read_rows(Path(job.eval_data))
        held_out_examples = _encode(
            job, Path(job.eval_data), held_out, opened, judge.of(Path(job.eval_data))
        )
    doing.text = "training a small model of the same class"
    longest = max(max(found.lengths) for found in (examples, held_out_examples) if found)
    packing = _packing(opened, job, longest)
    doing.text = "looking for rows that are there twice"
    findings = [
        *judge.findings(),
        Finding("date", "ok", "the chat template asks for no date: the same tokens every day"),
        _lengths(examples, len(rows.rows), opened.max_length, warnings),
        packing,
        _twins(rows.rows),
    ]
    if held_out:
        findings.append(_leak(held_out.rows, rows.rows, str(job.eval_data)))
    return Report(
        data=job.data,
        model=opened.source.name,
        rows=len(rows.rows),
        tokens=examples.tokens,
        trained_tokens=examples.trained_tokens,
        findings=findings,
        lengths=examples.histogram(),
        shown=judge.shown,
    )


@dataclass
class _Doing:
    """What the check is at, for one who waits."""

    text: str = "reading the rows"


class _Judge:
    """Takes down what the lint finds, and the first rows; objects to none, so that all are seen."""

    def __init__(self, opened: Opened, path: Path, doing: _Doing) -> None:
        self._opened = opened
        self._path = path
        self._doing = doing
        self._faults: dict[str, list[str]] = {name: [] for name in PASSED}
        self._turns = 0
        self.shown: list[Shown] = []

    def of(self, path: Path) -> "_Judge":
        """Go on with another file."""
        self._path = path
        return self

    def __call__(self, row: Row, encoded: Encoded) -> Iterable[str]:
        self._doing.text = f"looking at the rows of {self._path.name}, as far as line {row.line:,}"
        chat_format = self._opened.chat_format
        found = list(lint(row, encoded, chat_format))
        for fault in found:
            self._faults[fault.check].append(f"{self._path}:{row.line}: {fault.text}")
        stretches = runs(encoded)
        self._turns += sum(trained for _, trained in stretches)
        if len(self.shown) < SHOWN_ROWS:
            decode = self._opened.tokenizer.decode
            self.shown.append(
                Shown(f"{self._path}:{row.line}", [(decode(ids), yes) for ids, yes in stretches])
            )
        return ()

    def findings(self) -> list[Finding]:
        found = []
        for name, passed in PASSED.items():
            lines = self._faults[name]
            text = passed.format(turns=self._turns, stop=self._opened.chat_format.stop)
            if lines:
                found.append(Finding(name, "blocked", f"{len(lines)} faults", lines))
            else:
                found.append(Finding(name, "ok", text))
        return found


def _encode(job: Job, path: Path, rows: Rows, opened: Opened, judge: _Judge) -> Examples:
    return encode_rows(
        path,
        rows,
        opened.chat_format,
        max_length=opened.max_length,
        overlong=job.overlong,
        judge=judge,
    )


def _lengths(examples: Examples, rows: int, limit: int, warnings: Sequence[str]) -> Finding:
    lines = [*warnings, *examples.warnings(rows, limit)]
    text = f"the longest row has {examples.longest} tokens, and max_length is {limit}"
    return Finding("lengths", "warning" if lines else "ok", text, lines)


def _packing(opened: Opened, job: Job, longest: int) -> Finding:
    """Whether rows share a micro-batch, have one each, or the model cannot be trained."""
    try:
        choice = choose(load_config(opened.source), job.lora, longest=longest)
    except ModelUnavailable as fault:
        return Finding("packing", "blocked", fault.cause, [fault.hint])
    return Finding("packing", "ok" if packs(choice.attention) else "warning", choice.text)


def _twins(rows: Sequence[Row]) -> Finding:
    same = duplicates.same(rows)
    near = duplicates.near(rows)
    spare = sum(len(lines) - 1 for lines in same)
    text = f"{spare} rows say what an earlier one says, {len(near)} nearly"
    lines = [f"the same: lines {', '.join(map(str, _some(group)))}" for group in same]
    lines += [f"nearly the same: lines {other} and {line}" for line, other in near]
    return Finding("twins", "warning" if lines else "ok", text, lines)


def _leak(held_out: Sequence[Row], rows: Sequence[Row], path: str) -> Finding:
    same, near = duplicates.leaked(held_out, rows), duplicates.near(held_out, rows)
    lines = [
        f"{path}:{line}: is line {other} of the data: remove one of them" for line, other in same
    ]
    lines += [f"{path}:{line}: is nearly line {other} of the data" for line, other in near]
    text = f"{len(same)} of {len(held_out)} held-out rows are trained on, {len(near)} nearly"
    return Finding("leak", "warning" if lines else "ok", text, lines)


def _some(lines: Sequence[Any]) -> list[Any]:
    more = [f"and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return [*lines[:SHOWN_LINES], *more]
