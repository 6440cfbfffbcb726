"""An episode as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from datagen.episode import Episode, Trace, Turn
from trainer.contract.command.errors import NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = 5


def find_episode(episodes: Iterable[Episode], start: str) -> Episode:
    """Return the one episode whose id, or question's id, starts with `start`. Raises NotFound."""
    found, ids, others = None, list[str](), list[str]()
    for episode in episodes:
        if episode.id.startswith(start) or episode.question.id.startswith(start):
            found = found or episode
            ids.append(episode.id)
        elif len(others) < SHOWN:
            others.append(episode.id)
    if found is None or len(ids) > 1:
        raise NotFound(
            f"{len(ids) or 'no'} episodes have an id that starts with {start}",
            f"ids, for example: {', '.join((ids or others)[:SHOWN])}",
        )
    return found


def episode_line(episode: Episode) -> str:
    """The episode in one line: id, outcome, tables, question."""
    outcome = "verified    " if episode.verdict.verified else "not verified"
    tables = " + ".join(table.name for table in episode.tables)
    return f"{episode.id}  {outcome}  {tables}: {' '.join(episode.question.text.split())}"


def show_episode(episode: Episode) -> None:
    """Print the episode to the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    for part in _parts(episode):
        console.print(part)


def _parts(episode: Episode) -> Iterator[RenderableType]:
    from rich.rule import Rule
    from rich.text import Text

    question, verdict = episode.question, episode.verdict
    form = question.answer_type + (
        "" if question.decimals is None else f", {question.decimals} decimals"
    )
    yield Rule(f"episode {episode.id}", align="left")
    yield Text(question.text, style="bold")
    yield Text(f"{question.source}, {question.family}, {question.difficulty}; answer: {form}")
    for table in episode.tables:
        yield Text(f"{table.name}: {table.rows} rows, {table.path} ({table.sha256[:12]})")
    if question.hint:
        yield Text(f"hint: {question.hint}")
    yield Text(f"truth: {question.truth!r}" if question.known else "truth: unknown")
    for number, trace in enumerate(episode.traces, 1):
        yield from _trace(number, trace)
    yield Rule(align="left")
    colour = "green" if verdict.verified else "red"
    word = "verified" if verdict.verified else "not verified"
    why = f" ({verdict.detail})" if verdict.detail else ""
    yield Text(f"{word}: {verdict.rule}{why}", style=colour)


def _trace(number: int, trace: Trace) -> Iterator[RenderableType]:
    from rich.rule import Rule
    from rich.text import Text

    marks = ["with hint"] if trace.hinted else []
    marks += [] if trace.agrees is None else ["agrees" if trace.agrees else "does not agree"]
    marks += [f"${trace.cost:.4f}"] if trace.cost else []
    yield Rule(f"attempt {number} {', '.join(marks)}".strip(), align="left")
    for message in trace.opening:
        yield Text(f"[{message.role}]", style="cyan")
        yield Text(message.content, style="dim")
    for turn in trace.turns:
        yield from _turn(turn)
    yield Text(f"answer: {trace.answer!r}" if trace.submitted else "no answer submitted")


def _turn(turn: Turn) -> Iterator[RenderableType]:
    from rich.syntax import Syntax
    from rich.text import Text

    yield Text("[assistant]", style="cyan")
    if turn.code is None:
        yield Text(turn.reply)
    else:
        before, _, _ = turn.reply.partition("```")
        if before.strip():
            yield Text(before.strip())
        yield Syntax(turn.code, "python", background_color="default")
    if turn.hooks:
        yield Text("\n".join(f"hook {h.name} = {h.value!r}" for h in turn.hooks), style="magenta")
    if turn.feedback is not None:
        yield Text("[user]", style="cyan")
        yield Text(turn.feedback, style="red" if turn.error else "")
