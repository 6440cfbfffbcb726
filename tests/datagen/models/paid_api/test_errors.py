"""What a failed request means."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.models.paid_api.errors import Failure, failure_of_status, retry_after
from datagen.models.paid_api.prices import Price
from datagen.models.paid_api.response import read_answer
from datagen.models.protocol import Reply
from tests.openrouter.mishaps import MODERATION

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("status", "kind", "throttled"),
    [
        (400, "refused", False),
        (401, "key", False),
        (402, "budget", False),
        (403, "forbidden", False),
        (404, "fatal", False),
        (408, "retry", False),
        (413, "refused", False),
        (422, "refused", False),
        (429, "retry", True),
        (500, "retry", False),
        (502, "retry", False),
        (503, "retry", True),
        (504, "retry", False),
        (524, "retry", False),
        (529, "retry", True),
    ],
)
def test_kinds_by_status(status, kind, throttled):
    found = failure_of_status(status, {"error": {"message": "because\nof it"}}, {}, now=NOW)
    assert (found.kind, found.throttled) == (kind, throttled)
    assert found.cost == 0
    assert found.cause == f"HTTP {status}: because of it"


DETECTED = "Request blocked: prompt injection patterns detected"


@pytest.mark.parametrize(
    ("message", "details", "kind"),
    [
        # OpenRouter's documentation, "Errors and Debugging": moderation, guardrail, typed codes, availability.
        ("Input was flagged", {"metadata": MODERATION}, "flagged"),
        (DETECTED, {"metadata": {"patterns": ["ignore all previous instructions"]}}, "flagged"),
        ("No.", {"metadata": {"error_type": "content_policy_violation"}}, "flagged"),
        ("No.", {"metadata": {"error_type": "refusal"}}, "flagged"),
        ("Not allowed", {"metadata": {"error_type": "permission_denied"}}, "forbidden"),
        ("Not here", {"availability": {"code": "region_restricted"}}, "fatal"),
        ("Provider returned error", {"metadata": {"provider_name": "P", "raw": "no"}}, "refused"),
        # "Sensitive Info"
        ("Request blocked by content filter: Email address", {}, "flagged"),
        ("Blocked PII detected: PERSON", {}, "flagged"),
        # "Workspace Budgets", and the message of a key whose limit is used up
        (
            "Workspace monthly budget of $500.00 exceeded. Contact your org admin.",
            {"metadata": {"error_type": "permission_denied"}},
            "budget",
        ),
        ("Key limit exceeded (total limit)", {}, "budget"),
        # the SDKs' example of a ForbiddenResponseError
        ("Only management keys can perform this operation", {}, "forbidden"),
        ("Forbidden", {"metadata": ["flagged_input"]}, "forbidden"),
    ],
)
def test_a_403_is_about_the_prompt_the_key_the_model_or_money(message, details, kind):
    body = {"error": {"code": 403, "message": message, **details}}
    assert failure_of_status(403, body, {}, now=NOW).kind == kind


def test_the_cause_of_a_flagged_prompt_has_the_reasons():
    body = {"error": {"code": 403, "message": "Input was flagged", "metadata": MODERATION}}
    found = failure_of_status(403, body, {}, now=NOW)
    assert found.cause == "HTTP 403: Input was flagged (violence)"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("Mon, 21 Sep 2026 14:13:30 GMT", 10),
        ("Mon, 21 Sep 2026 14:13:10 GMT", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(text, seconds):
    assert retry_after(text, now=NOW) == seconds


def test_the_wait_is_found_in_header_or_body():
    body = {"error": {"code": 429, "message": "m", "availability": {"retry_after": 9}}}
    assert failure_of_status(429, body, {"retry-after": "3"}, now=NOW).wait == 3
    assert failure_of_status(429, body, {}, now=NOW).wait == 9
    assert failure_of_status(429, "<html>", {}, now=NOW).wait is None


PRICE = Price(prompt=Decimal("0.001"), completion=Decimal("0.01"), request=Decimal("0.1"))


def answer(**changes):
    choice = {"finish_reason": "stop", "message": {"content": "hi"}}
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    return {"id": "g", "choices": [choice | changes.pop("choice", {})], "usage": usage} | changes


def test_cost_is_what_the_api_says_or_our_reckoning():
    def cost(body, price):
        found = read_answer(body, price, now=NOW)
        assert isinstance(found, Reply)
        return found.cost

    usage = {"prompt_tokens": 2, "completion_tokens": 3, "cost": 1.4e-07}
    assert cost(answer(usage=usage), PRICE) == Decimal("0.00000014")
    assert cost(answer(), PRICE) == Decimal("0.132")
    assert cost(answer(), None) is None
    assert cost(answer(usage=None), PRICE) is None
    assert cost(answer(usage={"cost": -1}), PRICE) is None
    own = {"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}
    assert cost(answer(usage=own), PRICE) == Decimal("0.6")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "hi", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text"}]},
        {"content": "hi", "reasoning_content": "hm"},
        {"content": "<think>\nhm\n</think>\n\nhi"},
        # the prompt of Qwen3's thinking models ends with <think>
        {"content": "hm\n</think>\n\nhi"},
        {"content": "hm\n</think>\nhi"},
        {"content": "<think>I put <think> first:\n```python\nhm\n```\n</think>hi"},
        {"content": "<think>hm</think>\n<think>\nhm\n</think>\nhi"},
    ],
)
def test_a_reasoning_teacher_has_one_text_in_each_servers_form(message):
    """As OpenRouter, vLLM with a reasoning parser and vLLM without one document it."""
    found = read_answer(answer(choice={"message": message}), None, now=NOW)
    assert isinstance(found, Reply)
    assert found.text == "hi"
    assert "hm" in found.reasoning


@pytest.mark.parametrize(
    ("choice", "reasoning"),
    [
        ({"message": {"content": None, "reasoning": "hm"}}, "hm"),
        ({"message": {"content": "", "reasoning_content": "hm"}}, "hm"),
        ({"message": {"content": "<think>\nhm\n</think>\n"}}, "hm"),
        ({"message": {"content": "<think>hm"}}, "hm"),
        ({"message": {"content": None, "tool_calls": [{"id": "1"}]}}, ""),
    ],
)
def test_thoughts_or_tool_calls_alone_are_a_reply_without_text(choice, reasoning):
    found = read_answer(answer(choice=choice), None, now=NOW)
    assert isinstance(found, Reply)
    assert (found.text, found.reasoning) == ("", reasoning)


def test_text_that_only_names_the_tags_stays_whole():
    text = "```python\nprint('<think>', '</think>')\n```"
    found = read_answer(answer(choice={"message": {"content": text}}), None, now=NOW)
    assert isinstance(found, Reply)
    assert (found.text, found.reasoning) == (text, "")


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        ({"error": {"code": 502, "message": "m"}}, 0),
        ({"choices": None}, 0),
        ({"choices": []}, 0),
        (answer(choice={"finish_reason": "error"}), Decimal("0.132")),
        (answer(choice={"error": {"code": 502, "message": "m"}}), Decimal("0.132")),
        (answer(choice={"message": {"content": ""}}), Decimal("0.132")),
        (answer(choice={"message": None}), Decimal("0.132")),
        (answer(choice={"finish_reason": None}), Decimal("0.132")),
        (None, None),
        ([], None),
    ],
)
def test_failures_that_come_with_http_200(body, cost):
    found = read_answer(body, PRICE, now=NOW)
    assert isinstance(found, Failure)
    assert found.kind == "retry"
    assert found.cost == cost


def test_parts_and_cut_replies():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    found = read_answer(answer(choice={"message": {"content": parts}}), None, now=NOW)
    assert isinstance(found, Reply)
    assert found.text == "ab"
    body = answer(choice={"finish_reason": "length", "message": {"content": None}})
    cut = read_answer(body, None, now=NOW)
    assert isinstance(cut, Reply)
    assert cut.finish_reason == "length"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "error", "usage", "message", "content", "finish_reason", "cost", "code",
             "metadata", "availability", "retry_after", "limit_source", "is_byok", "cost_details",
             "prompt_tokens", "completion_tokens_details"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values, st.sampled_from([200, 400, 402, 403, 429, 500]))
def test_no_body_whatever_breaks_the_reading(body, status):
    failure_of_status(status, body, {}, now=NOW)
    found = read_answer(body, PRICE, now=NOW)
    assert found.cost is None or found.cost >= 0
