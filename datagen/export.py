"""Episodes become training rows: the messages exactly as the model saw them, one JSON object a line.

Only verified episodes are exported. A turn that failed stays in the row as context with weight 0, so
the model learns the repair and not the mistake.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datagen.episode import Episode, Turn


def row(episode: Episode) -> dict[str, Any]:
    """The row of one episode, in OpenAI's chat form."""
    trace = episode.traces[-1]
    messages: list[dict[str, Any]] = [m.model_dump() for m in trace.opening]
    for turn in trace.turns:
        messages.append(
            {"role": "assistant", "content": turn.reply, "weight": int(_worth_learning(turn))}
        )
        if turn.feedback is not None:
            messages.append({"role": "user", "content": turn.feedback})
    return {"messages": messages, "episode": episode.id}


def _worth_learning(turn: Turn) -> bool:
    """Whether the turn got on: it submitted, or printed something without failing."""
    return not turn.error and (turn.submitted or bool(turn.stdout.strip()))


def export(episodes: Iterable[Episode], path: Path) -> int:
    """Write the rows of the verified episodes to `path`, whole or not at all; return how many."""
    rows = [json.dumps(row(e), ensure_ascii=False) + "\n" for e in episodes if e.verdict.verified]
    part = path.with_name(path.name + ".part")
    part.write_text("".join(rows), "utf-8")
    part.replace(path)
    return len(rows)
