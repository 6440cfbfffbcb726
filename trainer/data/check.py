"""What a job would train on, checked and counted before anything is spent: findings, lengths, real rows.

Training refuses what is ``blocked`` here; a ``warning`` does not stop it. docs/rows.md explains each check.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.attention.choice import choose
from trainer.attention.kernels import packs
from trainer.contract import row_figures, validation
from trainer.contract.command.errors import BadData, ModelUnavailable
from trainer.contract.command.slow_work import telling
from trainer.contract.data_faults import Faults
from trainer.contract.job import Job
from trainer.contract.rows import Row, Rows, read_rows
from trainer.data import duplicates, token_cache
from trainer.data.encode import Examples, encode_rows, shown
from trainer.data.lint import Found, lint
from trainer.data.masks import Encoded, preview
from trainer.data.prepare import Opened, open_tokenizer
from trainer.data.turns import Part
from trainer.pretrained import load_config

SHOWN_ROWS = 20
SHOWN_LINES = 10
BAR = 40
PASSED = {
    "rendering": "the chat template renders every row",
    "trained tokens": "{turns} trained turns, each in the loss to its stop token {stop}, and nothing else is",
    "repeated tokens": "no BOS, EOS or stop token appears twice in a row",
    "fake turns": "no text in a row can pass for a turn of the chat",
    "earlier turns": "every trained turn has the tokens, and is preceded by the tokens, of inference",
    "lost text": "the chat template writes all that the rows say",
}
SAME = "remove the copies, or they count several times"
NEAR = "keep one of each pair, unless both are meant"
PAGE = Path(__file__).with_name("check.html.j2")


@dataclass(frozen=True, slots=True)
class Finding:
    """``lines`` are ``file:line: what: what to do``."""

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
                f"{self.data} cannot be trained on: {', '.join(blocked)}",
                "correct what is blocked above",
            )

    def lines(self, *, every: bool = False) -> list[str]:
        """Return the report for a terminal; ``every`` line of a finding, or the first ones."""
        found = []
        for finding in self.findings:
            found.append(f"{finding.state:<8} {finding.name:<15} {finding.text}")
            lines = finding.lines if every else _some(finding.lines)
            found += [f"{'':<25}{line}" for line in lines]
        found.append(
            f"{self.tokens} tokens, {self.trained_tokens} of them trained; rows by length:"
        )
        most = max(count for _, count in self.lengths)
        for longest, count in self.lengths:
            bar = "█" * -(-count * BAR // most)
            found.append(f"{longest:>8} {count:>7} {bar}")
        for row in self.shown[:1]:
            found += [f"{row.where}, with the trained text between « and »:", preview(row.parts)]
        return found

    def page(self) -> str:
        """Return the report as one HTML page that needs nothing else."""
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=True, undefined=StrictUndefined)
        most = max(count for _, count in self.lengths)
        return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
            report=self, most=most
        )


def check(job: Job, *, every: bool = False) -> Report:
    """Check the job's rows with the model's own tokenizer and template, without its weights.

    Findings have one line a cause, or with ``every`` one a fault. Progress of what takes long is printed to
    standard error. Raises ``BadData`` if the file cannot be read or no row can be trained, ``ModelUnavailable``.
    """
    doing = _Doing()
    with telling(lambda: doing.text):
        return _check(job, doing, every)


def _check(job: Job, doing: "_Doing", every: bool) -> Report:
    validation.check(job)
    warnings: list[str] = []
    path = Path(job.data)
    rows = read_rows(path)
    doing.text = "loading the tokenizer"
    opened = open_tokenizer(job, warnings.append)
    judge = _Judge(opened, path, doing)
    examples = judge.encode(job, path, rows)
    row_figures.write(
        token_cache.folder().parent,
        job,
        rows.sha256,
        row_figures.Figures(lengths=examples.lengths, trained=examples.trained_tokens),
    )
    held_out = held_out_examples = None
    if job.eval_data:
        held_out = read_rows(Path(job.eval_data))
        held_out_examples = judge.encode(job, Path(job.eval_data), held_out)
    doing.text = "training a small model of the same class"
    longest = max(max(found.lengths) for found in (examples, held_out_examples) if found)
    packing = _packing(opened, job, longest)
    doing.text = "comparing rows to find duplicates"
    notes = [*rows.notes, *(held_out.notes if held_out else ())]
    findings = [
        *judge.findings(every=every),
        Finding("keys", "warning" if notes else "ok", KEYS.format(count=len(notes) or "no"), notes),
        Finding("date", "ok", "the chat template writes a fixed date: the same tokens every day"),
        _lengths(examples, len(rows.rows), opened.max_length, warnings),
        packing,
        _duplicates(rows.rows),
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


KEYS = "{count} things in the rows are unusual or ignored"


@dataclass
class _Doing:
    """What the check does now, for a user who waits."""

    text: str = "reading the rows"


class _Judge:
    """Collects what is found in the rows, and shows the first ones; raises nothing, so that all is seen."""

    def __init__(self, opened: Opened, path: Path, doing: _Doing) -> None:
        self._opened = opened
        self._doing = doing
        self._files: dict[tuple[str, bool], list[Faults]] = {}
        self._turns = 0
        self.shown: list[Shown] = []

    def encode(self, job: Job, path: Path, rows: Rows) -> Examples:
        """Encode the rows of a file and collect what is found in them."""
        here: dict[tuple[str, bool], Faults] = {}

        def note(line: int, found: Found) -> None:
            kind = found.check, found.blocks
            if kind not in here:
                here[kind] = Faults(path, "faults" if found.blocks else "times")
                self._files.setdefault(kind, []).append(here[kind])
            here[kind].add(line, found.text)

        return encode_rows(
            path,
            rows,
            self._opened.chat_format,
            max_length=self._opened.max_length,
            overlong=job.overlong,
            turns=job.turns,
            judge=self._part(path),
            found=note,
        )

    def _part(self, path: Path) -> Callable[[Part, Encoded], Iterable[Found]]:
        def judge(part: Part, encoded: Encoded) -> Iterable[Found]:
            self._doing.text = f"checking the rows of {path.name}, now line {part.row.line:,}"
            self._turns += len(part.spans)
            if len(self.shown) < SHOWN_ROWS:
                self.shown.append(Shown(f"{path}:{part.row.line}", shown(part)))
            return lint(part, encoded, self._opened.chat_format)

        return judge

    def findings(self, *, every: bool) -> list[Finding]:
        found = []
        for name, passed in PASSED.items():
            blocked, warned = (self._files.get((name, blocks), []) for blocks in (True, False))
            lines = [
                line
                for faults in (*blocked, *warned)
                for line in (faults.every() if every else faults.grouped())
            ]
            if blocked:
                count = sum(map(len, blocked))
                found.append(
                    Finding(name, "blocked", f"{count} fault{'s' if count > 1 else ''}", lines)
                )
            elif warned:
                found.append(Finding(name, "warning", f"things to know: {len(lines)}", lines))
            else:
                text = passed.format(turns=self._turns, stop=self._opened.chat_format.stop)
                found.append(Finding(name, "ok", text))
        return found


def _lengths(examples: Examples, rows: int, limit: int, warnings: Sequence[str]) -> Finding:
    lines = [*warnings, *examples.warnings(rows, limit)]
    text = f"the longest row has {examples.longest} tokens, and max_length is {limit}"
    return Finding("lengths", "warning" if lines else "ok", text, lines)


def _packing(opened: Opened, job: Job, longest: int) -> Finding:
    """Whether rows share a micro-batch, are trained one at a time, or the model cannot be trained."""
    try:
        choice = choose(load_config(opened.source), job.lora, longest=longest)
    except ModelUnavailable as fault:
        return Finding("packing", "blocked", fault.cause, [fault.hint])
    return Finding("packing", "ok" if packs(choice.attention) else "warning", choice.text)


def _duplicates(rows: Sequence[Row]) -> Finding:
    same = duplicates.same(rows)
    near = duplicates.near(rows)
    spare = sum(len(lines) - 1 for lines in same)
    text = f"{spare} rows equal an earlier row, {len(near)} nearly do"
    lines = [f"equal: lines {', '.join(map(str, _some(group)))}: {SAME}" for group in same]
    lines += [f"nearly equal: lines {other} and {line}: {NEAR}" for line, other in near]
    return Finding("duplicates", "warning" if lines else "ok", text, lines)


def _leak(held_out: Sequence[Row], rows: Sequence[Row], path: str) -> Finding:
    same, near = duplicates.leaked(held_out, rows), duplicates.near(held_out, rows)
    lines = [
        f"{path}:{line}: equals line {other} of the data: remove one of them"
        for line, other in same
    ]
    lines += [
        f"{path}:{line}: nearly equals line {other} of the data: remove one of them"
        for line, other in near
    ]
    text = f"{len(same)} of {len(held_out)} held-out rows are trained on, {len(near)} nearly"
    return Finding("held-out rows", "warning" if lines else "ok", text, lines)


def _some(lines: Sequence[Any]) -> list[Any]:
    more = [f"and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return [*lines[:SHOWN_LINES], *more]
