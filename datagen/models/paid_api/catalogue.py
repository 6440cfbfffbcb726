"""Ask OpenRouter before the first call: the key's remaining credit, prices, which models may be distilled."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datagen.models.paid_api.ledger import KeyUsage
from datagen.models.paid_api.prices import Price, money
from trainer.contract.command.errors import BadJob, BudgetSpent, TeacherRefused

if TYPE_CHECKING:
    from datagen.models.paid_api.budget import Budget
    from datagen.models.paid_api.client import Client
    from datagen.models.paid_api.settings import TeacherSettings


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The highest price of a model, and the quantisation of each provider that has but one."""

    price: Price | None = None
    quantizations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KeyState:
    """What OpenRouter reports about the key: USD charged in all, and USD that it may still be charged."""

    usage: KeyUsage | None
    remaining: Decimal | None


def look_up_key(client: Client) -> KeyState:
    """Raises TeacherRefused for an unknown key, TeacherUnavailable."""
    data = _data(client.look_up("/key"), dict)
    usage = money(data.get("usage"))
    rest = money(data.get("limit_remaining"))
    if rest is None and data.get("limit") is not None:
        rest = Decimal(0)  # a negative rest; `limit` shows whether there is a cap at all
    return KeyState(
        remaining=rest,
        usage=None
        if usage is None
        else KeyUsage(
            key=str(data.get("label")), amount=usage + (money(data.get("byok_usage")) or 0)
        ),
    )


def check_key(key: KeyState, budget: Budget) -> Iterator[str]:
    """Tell what the key may still spend, and lower the budget's limit to it.

    Raises BudgetSpent for a key with nothing left.
    """
    rest = key.remaining
    if rest is None:
        return
    if rest == 0:
        raise BudgetSpent(
            "the OpenRouter key has used up its own limit", "raise the key's limit, or use another"
        )
    if budget.limit is None or budget.spent + rest < budget.limit:
        budget.limit = budget.spent + rest
        yield f"the OpenRouter key has ${rest} left: the cost limit is lowered to that"


def find_offers(client: Client, settings: TeacherSettings) -> dict[str, Offer]:
    """What each model costs. Prices that were stated in the settings come before listed ones.

    Raises BadJob when there is a budget and a price is not known, TeacherRefused for a model that is
    not offered, or not for training on its outputs.
    """
    listed = _listed(client, settings) if settings.at_openrouter else {}
    stated = settings.stated_prices()
    offers = {}
    for model in settings.models():
        offer = listed.get(model, Offer())
        price = stated.get(model) or stated.get("") or offer.price
        if price is None and settings.budget is not None:
            raise BadJob(
                f"the price of {model} is unknown, so max_cost cannot be enforced",
                "give the price: --price IN/OUT in dollars per million tokens (0/0 if it is free)",
            )
        offers[model] = Offer(price=price, quantizations=offer.quantizations)
    return offers


def _listed(client: Client, settings: TeacherSettings) -> dict[str, Offer]:
    query = {"distillable": "true"} if settings.enforce_distillable else {}
    models = _by_id(client.look_up("/models", **query))
    missing = [name for name in settings.models() if _slug(name) not in models]
    if missing:
        everything = _by_id(client.look_up("/models")) if query else models
        _refuse(missing[0], everything)
    return {name: _offer(client, name, models[_slug(name)]) for name in settings.models()}


def _offer(client: Client, name: str, model: Mapping[str, Any]) -> Offer:
    """The highest price among all providers: which of them answers is not known before."""
    found = _data(client.look_up(f"/models/{_slug(name)}/endpoints"), dict).get("endpoints") or []
    endpoints = [endpoint for endpoint in found if isinstance(endpoint, Mapping)]
    kinds = defaultdict(set)
    for endpoint in endpoints:
        kinds[endpoint.get("provider_name")].add(endpoint.get("quantization"))
    quantizations = {
        provider: kind
        for provider, (kind, *others) in kinds.items()
        if isinstance(provider, str) and isinstance(kind, str) and not others
    }
    pricings = [model.get("pricing"), *(endpoint.get("pricing") for endpoint in endpoints)]
    price = Price.listed([pricing for pricing in pricings if isinstance(pricing, Mapping)])
    return Offer(price=price, quantizations=quantizations)


def _refuse(name: str, everything: Mapping[str, Any]) -> None:
    if _slug(name) in everything:
        raise TeacherRefused(
            f"OpenRouter does not list {name} among the models whose outputs may be trained on",
            "choose one of openrouter.ai/models?distillable=true, or, if its terms permit your"
            " use, add --enforce-distillable no",
        )
    near = difflib.get_close_matches(_slug(name), everything, n=1)
    raise TeacherRefused(
        f"OpenRouter has no model {name}" + (f"; did you mean {near[0]}?" if near else ""),
        "choose one of openrouter.ai/models",
    )


def _slug(name: str) -> str:
    """The model without `:floor` or `:nitro`, which choose among its providers."""
    base, _, variant = name.partition(":")
    return base if variant in {"floor", "nitro", "exacto"} else name


def _by_id(answer: object) -> dict[str, Mapping[str, Any]]:
    return {model["id"]: model for model in _data(answer, list) if "id" in model}


def _data(answer: object, kind: type[Any]) -> Any:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, kind):
        raise TeacherRefused(
            "the API's response does not have OpenRouter's format", "check --base-url"
        )
    return data
