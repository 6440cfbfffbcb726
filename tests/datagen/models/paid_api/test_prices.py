"""The worst case of a call is one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episode import Message
from datagen.models.paid_api.prices import Price, money
from tests.openrouter.catalog import MODELS
from tests.openrouter.chat import generate, prompt_tokens


def test_stated():
    price = Price.stated("0.1/0.5")
    assert (price.prompt, price.completion) == (Decimal("1E-7"), Decimal("5E-7"))
    assert price.of(1_000_000, 2_000_000) == Decimal("1.1")


@pytest.mark.parametrize("text", ["", "1", "1/2/3", "a/b", "-1/2", "nan/1", "inf/1"])
def test_what_is_no_price(text):
    with pytest.raises(ValueError, match="is not"):
        Price.stated(text)


def test_the_highest_of_all_that_are_listed():
    cheap = {"prompt": "0.1", "completion": "0.2"}
    assert Price.listed([cheap, {"prompt": "0.05", "completion": "0.3", "request": "1"}]) == Price(
        prompt=Decimal("0.1"), completion=Decimal("0.3"), request=Decimal(1)
    )
    dear = cheap | {"input_cache_write": "0.4", "internal_reasoning": "0.6"}
    assert Price.listed([dear]) == Price(prompt=Decimal("0.4"), completion=Decimal("0.6"))
    night = cheap | {"overrides": [{"min_prompt_tokens": 1000, "prompt": "0.9"}]}
    assert Price.listed([night]) == Price(prompt=Decimal("0.9"), completion=Decimal("0.2"))
    assert Price.listed([]) is None
    for unknown in ({}, {"prompt": "-1", "completion": "-1"}, {"prompt": "x"}):
        assert Price.listed([unknown]) is None


def test_every_byte_of_the_text_may_be_a_token():
    price = Price(prompt=Decimal(1), completion=Decimal(1000), request=Decimal(7))
    messages = [Message(role="user", content="ü" * 1000)] * 2
    assert price.worst(messages, 3) == 256 + 2 * (16 + 2000) + 3000 + 7


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4), st.integers(1, 60))
def test_no_call_costs_more_than_its_worst_case(texts, max_tokens):
    messages = [Message(role="user", content=text) for text in texts]
    body = {"messages": [m.model_dump() for m in messages], "max_tokens": max_tokens}
    for model in MODELS:
        price = Price.listed([endpoint.pricing() for endpoint in model.endpoints])
        assert price is not None
        for endpoint in model.endpoints:
            made = generate(body, model, endpoint, lambda _: "word " * 40, finish=None)
            assert made.cost <= price.worst(messages, max_tokens)
    assert prompt_tokens(body) > 0


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (0.1, Decimal("0.1")),
        ("1e-7", Decimal("1E-7")),
        (0, Decimal(0)),
        (-1, None),
        (None, None),
        (True, None),
        ("x", None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_amounts_out_of_json(value, amount):
    assert money(value) == amount
