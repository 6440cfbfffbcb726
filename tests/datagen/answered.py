"""A model with default rules; made-up answered episodes, as an evaluation saves them."""

from typing import Any

from datagen.episode import (
    Episode,
    Message,
    Provenance,
    Question,
    TableRef,
    Trace,
    Turn,
    Verdict,
)
from datagen.episodes.attempts import AttemptRules, Solver
from datagen.models.protocol import Model


def solver(model: Model, **rules: Any) -> Solver:
    return Solver(model=model, rules=AttemptRules(**{"seed": 0, **rules}))


def episode(
    number: int,
    *,
    right: bool,
    table: int = 0,
    slip: bool = False,
    seed: int = 0,
    family: str | None = None,
    prompt: str = "p",
) -> Episode:
    turns = [Turn(reply="x", code="x", error=True, feedback="no")] if slip else []
    turns.append(Turn(reply="y", code="y", submitted=True, answer=1 if right else 2))
    return Episode(
        id=f"e{number}{right}{seed}",
        question=Question(
            id=f"q{number}", text="?", answer_type="integer", source="template",
            family=family or f"f{number % 2}", difficulty="easy", truth=1,
        ),
        tables=[
            TableRef(name=f"t{table}", path="t.csv", sha256=f"{table:064}", rows=1, columns=[])
        ],
        traces=[
            Trace(opening=[Message(role="user", content="?")], turns=turns, cost=0.5, seconds=2.0)
        ],
        verdict=Verdict(verified=right, rule="r"),
        provenance=Provenance(
            model="m", prompt_sha256=prompt, sandbox_level="full", seed=seed, versions={}
        ),
    )  # fmt: skip


def both(wins: int, losses: int, ties: int, tables: int) -> tuple[list[Episode], list[Episode]]:
    outcomes = [(False, True)] * wins + [(True, False)] * losses + [(True, True)] * ties
    base = [episode(n, right=b, table=n % tables) for n, (b, _) in enumerate(outcomes)]
    adapter = [episode(n, right=a, table=n % tables) for n, (_, a) in enumerate(outcomes)]
    return base, adapter
