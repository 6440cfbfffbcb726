"""The models to evaluate: weights on this machine, a model of an API, the teacher as ceiling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.evaluation.evaluate import EvaluatedModel
from datagen.evaluation.score import CEILING, MODEL
from datagen.models.vllm.choice import takes_vllm

if TYPE_CHECKING:
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
            log = ledger.with_name("vllm.log")
            found += stack.enter_context(_models_here(asked, asked.location, log))
        else:
            found.append(stack.enter_context(_api_model(asked, asked.model, MODEL, ledger)))
        if asked.ceiling is not None:
            beside = ledger.with_name(f"ceiling-{ledger.name}")
            found.append(stack.enter_context(_api_model(asked, asked.ceiling, CEILING, beside)))
        yield found


@contextmanager
def _models_here(
    asked: EvaluationRequest, location: ModelLocation, log: Path
) -> Iterator[list[EvaluatedModel]]:
    """Base and adapter, or the one model, behind vLLM (whose output goes to `log`) or transformers."""
    from datagen.models.local.model import REPLY_TOKENS, Engine, Generation

    generation = Generation(tokens=asked.tokens or REPLY_TOKENS, temperature=asked.temperature)
    sampling = {"max_tokens": generation.tokens, "temperature": generation.temperature}

    def chosen(models: Mapping[str, Any], **options: Any) -> list[EvaluatedModel]:
        both = location.adapter is not None and not asked.alone
        return [
            EvaluatedModel(
                label=label if both else MODEL, model=model, connected=model.connected, **options
            )
            for label, model in models.items()
            if label == "adapter" or not asked.alone
        ]

    if not takes_vllm(asked.engine, location):
        local = Engine(location, generation)
        yield chosen(local.models, sampling=sampling, activity=local.activity)
        return
    from datagen.models.vllm.model import CONCURRENCY, NAME, engine

    with engine(location, generation, log) as models:
        yield chosen(models, sampling=sampling | {"engine": NAME}, concurrency=CONCURRENCY)


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
            concurrency=account.open_questions,
            connected=account.connected,
        )
