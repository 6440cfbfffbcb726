"""The models to evaluate: weights on this machine, a model of an API, the teacher as ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.evaluation.evaluate import EvaluatedModel
from datagen.evaluation.score import CEILING, MODEL
from datagen.models.vllm.choice import takes_vllm

if TYPE_CHECKING:
    from datagen.models.local.model import LocalModel
    from datagen.models.local.weights import ModelLocation

LEDGER = "calls.jsonl"


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What the command line gives. `flags` are those of `paid_api.settings`; `location` None: `model` is
    behind the API. `tokens` None: 256 a reply here, the API's setting there. `engine` is one of
    `vllm.choice`, for weights here. `alone`: of base and adapter the adapter is the one model.
    """

    model: str
    location: ModelLocation | None
    ceiling: str | None = None
    tokens: int | None = None
    temperature: float = 0.0
    engine: str = "auto"
    alone: bool = False
    flags: dict[str, Any] = field(default_factory=dict)


def is_remote(model: str, flags: dict[str, Any]) -> bool:
    """Whether a model is behind the API that the flags name: an address is given, and no such path."""
    return "base_url" in flags and not Path(model).exists()


@contextmanager
def evaluated_models(asked: EvaluationRequest, ledger: Path) -> Iterator[list[EvaluatedModel]]:
    """Base and adapter, or the one model, and the ceiling. Calls are kept in `ledger`, none is paid twice.

    Raises what loading weights raises, and what opening an account raises.
    """
    with ExitStack() as stack:
        found = []
        if asked.location is not None:
            here = _vllm_models if takes_vllm(asked.engine, asked.location) else _local_models
            found += stack.enter_context(here(asked, asked.location, ledger.with_name("vllm.log")))
        else:
            found.append(stack.enter_context(_api_model(asked, asked.model, MODEL, ledger)))
        if asked.ceiling is not None:
            beside = ledger.with_name(f"ceiling-{ledger.name}")
            found.append(stack.enter_context(_api_model(asked, asked.ceiling, CEILING, beside)))
        yield found


@contextmanager
def _local_models(
    asked: EvaluationRequest, location: ModelLocation, _log: Path
) -> Iterator[list[EvaluatedModel]]:
    from datagen.models.local.model import REPLY_TOKENS, Engine, Generation

    generation = Generation(tokens=asked.tokens or REPLY_TOKENS, temperature=asked.temperature)
    sampling = {"max_tokens": generation.tokens, "temperature": generation.temperature}
    engine = Engine(location, generation)

    def contender(label: str, model: LocalModel) -> EvaluatedModel:
        return EvaluatedModel(label=label, model=model, sampling=sampling, activity=engine.activity)

    if engine.adapter is None:
        yield [contender(MODEL, engine.base)]
    elif asked.alone:
        yield [contender(MODEL, engine.adapter)]
    else:
        yield [contender("base", engine.base), contender("adapter", engine.adapter)]


@contextmanager
def _vllm_models(
    asked: EvaluationRequest, location: ModelLocation, log: Path
) -> Iterator[list[EvaluatedModel]]:
    from datagen.models.local.model import REPLY_TOKENS, Generation
    from datagen.models.vllm.model import CONCURRENCY, NAME, engine

    generation = Generation(tokens=asked.tokens or REPLY_TOKENS, temperature=asked.temperature)
    sampling = {
        "max_tokens": generation.tokens,
        "temperature": generation.temperature,
        "engine": NAME,
    }
    with engine(location, generation, log) as models:
        yield [
            EvaluatedModel(
                label=label if location.adapter and not asked.alone else MODEL,
                model=model,
                sampling=sampling,
                concurrency=CONCURRENCY,
                connected=model.connected,
            )
            for label, model in models.items()
            if label == "adapter" or not asked.alone
        ]


@contextmanager
def _api_model(
    asked: EvaluationRequest, model: str, label: str, ledger: Path
) -> Iterator[EvaluatedModel]:
    from datagen.models.paid_api.account import open_account
    from datagen.models.paid_api.settings import load

    flags = {"temperature": asked.temperature, **asked.flags}
    if asked.tokens is not None:
        flags["max_tokens"] = asked.tokens
    if model:
        flags["teacher_model"] = model
    settings = load(flags).model_copy(update={"audit_model": None, "question_gen_model": None})
    with open_account(settings, ledger=ledger) as account:
        yield EvaluatedModel(
            label=label,
            model=account.teacher,
            sampling=account.sampling,
            concurrency=settings.concurrency,
            connected=account.connected,
        )
