"""The progress display over episodes that the verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.episode import Episode


@contextmanager
def watched(label: str, total: int) -> Iterator[Callable[[Episode], None]]:
    """Progress over `total` episodes, with the number of right answers."""
    from datagen.progress import Progress

    verified = 0

    def count(episode: Episode) -> None:
        nonlocal verified
        verified += episode.verdict.verified
        progress.advance(f"{verified} right")

    with Progress(label, total) as progress:
        yield count
