"""Reports what the kept adapter learned: the comparison on held-out rows, and how far it moved elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.contract.events import Divergence
from trainer.reporting import Reporter
from trainer.result import held_out

FIGURES = ("base_loss", "held_out_rows", "held_out_better", "held_out_p", "general_kl")


def report(
    reporter: Reporter, history: Sequence[Mapping[str, Any]], step: int, moved: Divergence | None
) -> dict[str, float | int | None]:
    """Report both for the adapter of ``step``; return their figures for the manifest, None if unknown."""
    figures: dict[str, float | int | None] = dict.fromkeys(FIGURES)
    if found := held_out.compare(history, step):
        reporter.tell(found)
        both = (found.base_loss, len(found.rows), found.better, found.p)
        figures |= dict(zip(FIGURES, both, strict=False))
    if moved:
        reporter.tell(moved)
        figures["general_kl"] = moved.median
    return figures
