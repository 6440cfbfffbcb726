"""Saved results of a model: where a path's transcript lies, read and checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from datagen.episode import Episode, read_episodes
from datagen.evaluation.score import LABELS, MODEL, PROBES
from trainer.contract.command.errors import BadData, NotFound

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "evaluation"
MODEL_FILE = "model.jsonl"
TRANSCRIPTS = ("adapter.jsonl", MODEL_FILE)
HINT = "give a run folder that was evaluated, its evaluation folder, or a transcript (JSONL)"


def transcript_of(path: Path) -> Path:
    """The transcript that a path stands for; of base and adapter the adapter's. Raises NotFound."""
    if path.is_file():
        return path
    for folder in (path / FOLDER, path):
        for name in TRANSCRIPTS:
            if (folder / name).is_file():
                return folder / name
    raise NotFound(f"{path}: no evaluation result found", HINT)


def read_result(path: Path) -> list[Episode]:
    """The judged episodes of a saved result, as they were judged then.

    Raises NotFound, and BadData for a file that is torn, of an unknown version or holds no attempt.
    """
    file = transcript_of(path)
    if not _ends_whole(file):
        raise BadData(
            f"{file}: incomplete: the last line is cut off",
            "run the same datagen evaluate again: it continues where it stopped",
        )
    episodes = read_episodes(file)
    if empty := [e.id for e in episodes if not e.traces]:
        raise BadData(f"{file}: episode {empty[0]} has no attempt to compare", HINT)
    return episodes


def read_all(path: Path) -> dict[str, list[Episode]]:
    """Every transcript of an evaluated run folder, or of an evaluation folder, by its label.

    Raises NotFound where there is neither base and adapter nor one model; else as `read_result`.
    """
    folder = transcript_of(path).parent
    names = [*LABELS, *(f"{probe}-{label}" for probe in PROBES for label in LABELS)]
    found = {
        name: read_result(folder / f"{name}.jsonl")
        for name in names
        if (folder / f"{name}.jsonl").is_file()
    }
    if MODEL not in found and not {"base", "adapter"} <= found.keys():
        raise NotFound(f"{folder}: no transcripts of base and adapter", HINT)
    return found


def is_finished(path: Path) -> bool:
    """Whether a comparison or result is complete: not ended by a time limit, and not cut off."""
    try:
        return bool(json.loads(path.read_bytes()).get("finished", True))
    except (ValueError, AttributeError, RecursionError):
        return False


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as lines:
        end = lines.seek(0, 2)
        lines.seek(max(0, end - 1))
        return lines.read(1) in {b"\n", b""}
