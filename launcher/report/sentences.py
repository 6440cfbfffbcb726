"""The words of a report: the verdict, the cost, and what a figure is called."""

import json
from datetime import datetime
from statistics import fmean
from typing import Any

from launcher.report.facts import Facts
from trainer.contract import event_text
from trainer.contract.event_text import SHOWN, clock
from trainer.contract.sizing.evaluations import ROWS

EFFORT = {
    "submitted": "share of questions to which it gave an answer at all",
    "recovered": "share answered right, of the questions in which a turn failed",
    "turns": "turns per question",
    "prompt_tokens": "tokens read per question",
    "completion_tokens": "tokens written per question",
    "seconds": "seconds per question",
    "cost": "US dollars for all questions",
    "cost_per_correct": "US dollars per right answer",
}


def outcome(facts: Facts) -> list[str]:
    """The first lines of a report: better or not, by how much, what else changed, what it cost."""
    found = [state(facts), verdict(facts), held_out(facts), divergence(facts), cost(facts)]
    return [*dict.fromkeys(filter(None, found))]


def state(facts: Facts) -> str:
    """Why there is no adapter that was trained to the end; empty if there is one."""
    if facts.failure is not None:
        return f"The run failed: {facts.failure.cause}"
    if facts.manifest is None:
        return "The run has no result yet."
    return "" if facts.manifest.complete else "The adapter is from an unfinished run."


def verdict(facts: Facts) -> str:
    """Whether the adapter is better than its base: by its answers where they were judged, else by its loss."""
    if facts.comparison:
        return _compared(facts.comparison)
    if facts.held_out is not None:
        return held_out(facts)
    return _not_compared(facts) if facts.manifest is not None else ""


def _compared(found: dict[str, Any]) -> str:
    n = found["n"]
    base, adapter = (f"{round(found[name] * n):,}" for name in ("base", "adapter"))
    if found["mcnemar_p"] >= SHOWN:
        return (
            f"No difference between adapter and base is shown: of {n:,} held-out questions the adapter answers "
            f"{adapter} right, the base {base}."
        )
    word = "better" if found["difference"] > 0 else "worse"
    return (
        f"The adapter is {word} than its base: of {n:,} held-out questions it answers {adapter} right, "
        f"the base {base}."
    )


def _not_compared(facts: Facts) -> str:
    why = (
        ""
        if facts.evals
        else (
            f" No rows were held out: this takes {ROWS} different rows and eval_share above 0, or eval_data."
        )
    )
    return f"The adapter was not compared with its base.{why}"


def held_out(facts: Facts) -> str:
    """Which of base and adapter predicts the held-out rows better; empty if unknown."""
    return _sentence(event_text.held_out(facts.held_out)) if facts.held_out else ""


def divergence(facts: Facts) -> str:
    """How far the adapter moved the base on general prompts; empty if unknown."""
    return _sentence(event_text.divergence(facts.divergence)) if facts.divergence else ""


def cost(facts: Facts) -> str:
    """Money and time."""
    seconds, plan = facts.seconds(), facts.plan
    where = f" on {plan.device}" if plan is not None else ""
    took = f"took {_duration(seconds)}{where}" if seconds else ""
    if facts.receipt:
        most = f" (quoted at most ${facts.quote['most']:.2f})" if "most" in facts.quote else ""
        settled = "" if facts.receipt.get("settled", True) else " so far"
        found = [f"cost ${facts.receipt.get('charged', 0.0):.4f}{settled}{most}", took]
    elif "most" in facts.quote:
        found = [took, f"was quoted at most ${facts.quote['most']:.2f}; no receipt yet"]
    else:
        found = ["rented nothing", took]
    return f"The run {' and '.join(filter(None, found))}."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def overview(facts: Facts) -> list[tuple[str, str]]:
    """(what, how much) of the training."""
    found: list[tuple[str, str]] = []
    if facts.manifest is not None:
        found.append(("base model", facts.manifest.base_model))
    if facts.plan is not None:
        plan = facts.plan
        dropped = f", {plan.dropped_rows:,} left out" if plan.dropped_rows else ""
        found += [
            ("device and precision of the base", f"{plan.device}, {plan.precision}"),
            ("rows (chats or questions)", f"{plan.rows:,}{dropped}"),
            ("tokens", f"{plan.trained_tokens:,} trained of {plan.tokens:,} per epoch"),
            ("trained parameters", f"{plan.trainable_parameters:,}"),
        ]
    if facts.kernels is not None:
        found.append(("fused kernels", event_text.kernels(facts.kernels)))
    if steps := facts.steps:
        found += [
            ("optimizer steps", f"{steps[-1].step:,} of {steps[-1].steps:,}"),
            (
                "loss per trained token (lower is better)",
                f"{steps[0].loss:.4f} → {steps[-1].loss:.4f}",
            ),
            ("memory", _memory(facts, max(step.memory_bytes for step in steps))),
            ("time", clock(facts.seconds())),
        ]
        told = {"GPU utilisation": facts.gpu_use, "share of the GPU's peak rate (MFU)": facts.mfu}
        for what, share in told.items():
            if known := [x for x in share if x is not None]:
                found.append((what, f"{fmean(known):.0f}% on average"))
    return found


def _memory(facts: Facts, most: int) -> str:
    expected = facts.plan.predicted_bytes if facts.plan is not None else None
    told = f"{most / 1e9:.1f} GB at most"
    return f"{told}, {expected / 1e9:.1f} GB expected" if expected else told


def details(facts: Facts) -> list[tuple[str, str]]:
    """Hashes and versions, enough to make the run again."""
    if facts.manifest is None:
        return []
    whole = facts.manifest
    found = [
        ("finished", f"{datetime.fromisoformat(whole.created):%Y-%m-%d %H:%M %Z}"),
        ("SHA-256 of the job", whole.job_hash),
        ("SHA-256 of the data", whole.data_sha256),
        ("base model", f"{whole.base_model} {whole.revision or ''}".strip()),
        ("SHA-256 of the chat template", whole.template_sha256),
        ("seed", str(whole.seed)),
        ("device", whole.device),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in whole.versions.items())
    proof = whole.reload_proof
    if proof is not None:
        about = f"logits of the saved adapter differ by {proof.max_abs_diff:.1e} at most"
        found.append(("reload proof", about))
    return [*found, ("versions", versions)]


def money(facts: Facts) -> list[tuple[str, str]]:
    """Quote beside receipt."""
    return [
        *((f"quote: {name}", _plain(value)) for name, value in facts.quote.items()),
        *((f"receipt: {name}", _plain(value)) for name, value in facts.receipt.items()),
    ]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else json.dumps(value)
