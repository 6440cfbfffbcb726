"""A cache of tokenised and checked rows, with a key of everything that they depend on.

It lies beside the hub's cache. Deleting it costs only time; if it cannot be written, nothing is kept.
"""

import hashlib
import json
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from trainer.contract import row_figures, row_messages, row_shapes
from trainer.contract import rows as contract_rows
from trainer.contract.command.crash_safe_files import replacing
from trainer.contract.rows import Rows
from trainer.data import encode, lint, lost, masks, split, templates
from trainer.data import turns as data_turns
from trainer.data.encode import Examples
from trainer.data.masks import IGNORED
from trainer.data.templates import ChatFormat

KEPT = 4  # files, the newest
WORTH = 2.0  # seconds of work below which nothing is kept
MADE_BY = (
    *(contract_rows, row_messages, row_shapes),
    *(data_turns, encode, lint, lost, masks, split, templates),
)
LIBRARIES = ("tokenizers", "transformers", "jinja2")
COUNTS = (
    *(
        "trained_tokens",
        "dropped",
        "split",
        "lost_turns",
        "lost_tokens",
        "longest",
        "shown",
        "notes",
    ),
    *("divided", "divided_into", "added_tokens"),
)


def key(
    rows: Rows, chat_format: ChatFormat, *, max_length: int, overlong: str, turns: str
) -> str | None:
    """Return the SHA-256 of all on which tokens and labels depend; ``None`` for a slow tokenizer."""
    tokenizer = chat_format.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    made_of = [
        rows.sha256,
        hashlib.sha256(array("q", [row.line for row in rows.rows]).tobytes()).hexdigest(),
        hashlib.sha256(backend.to_str().encode()).hexdigest(),
        tokenizer.chat_template,
        sorted(map(str, tokenizer.special_tokens_map.items())),
        [max_length, overlong, turns],
        [version(name) for name in LIBRARIES],
        [hashlib.sha256(Path(str(m.__file__)).read_bytes()).hexdigest() for m in MADE_BY],
    ]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def folder() -> Path:
    """Return the folder of the cache, inside the hub's cache folder."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / row_figures.FOLDER


def or_else(
    name: str | None, make: Callable[[], Examples], note: Callable[[str], None]
) -> Examples:
    """Return the examples kept under ``name``, else make them, and keep what took long."""
    place = None if name is None else folder() / f"{name}.npz"
    if place is not None and (found := _read(place)) is not None:
        note(f"tokens and labels of {len(found.lengths)} rows were read back from {place}")
        return found
    started = time.monotonic()
    examples = make()
    if place is not None and time.monotonic() - started >= WORTH:
        # The disk may be full or read only; a cache may be missing.
        with suppress(OSError):
            _write(place, examples)
    return examples


def _write(place: Path, examples: Examples) -> None:
    import numpy as np

    counts = json.dumps({name: getattr(examples, name) for name in COUNTS})
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(place, fsync=False) as file:
        np.savez(
            file,
            input_ids=np.frombuffer(examples.input_ids, dtype=np.int32),
            trained=np.frombuffer(examples.labels, dtype=np.int32) != IGNORED,
            lengths=np.asarray(examples.lengths, dtype=np.int64),
            lines=np.asarray(examples.lines, dtype=np.int64),
            counts=np.frombuffer(counts.encode(), dtype=np.uint8),
        )
    newest = sorted(place.parent.glob("*.npz"), key=lambda path: -path.stat().st_mtime)
    for old in newest[KEPT:]:
        old.unlink(missing_ok=True)


def _read(place: Path) -> Examples | None:
    import zipfile

    import numpy as np

    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            ids, trained, lengths = kept["input_ids"], kept["trained"], kept["lengths"]
            lines = kept["lines"]
            counts = json.loads(kept["counts"].tobytes())
    # numpy raises for a torn file what its zip reader or its header's parser meets first.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    examples = Examples(lengths=lengths.tolist(), lines=lines.tolist())
    examples.input_ids.frombytes(ids.astype(np.int32).tobytes())
    examples.labels.frombytes(np.where(trained, ids, IGNORED).astype(np.int32).tobytes())
    counts["shown"] = [[(text, yes) for text, yes in row] for row in counts["shown"]]
    for name in COUNTS:
        setattr(examples, name, counts[name])
    return examples
