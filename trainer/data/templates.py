"""The chat template of a tokenizer: frozen in time, and asked where an assistant turn starts and stops.

The template is the only source of text. What is learned here, from two short renderings, is enough to
find every assistant turn in any rendering, for any template that marks turns with special tokens.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainer.contract.command.errors import ModelUnavailable

# Llama-3.2's own template falls back to this day where it cannot ask for today.
FROZEN_DATE = datetime(2024, 7, 26, tzinfo=UTC)
NOW_CALL = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>.*?)(?P=quote)\s*\)""")
ANY_CALL = re.compile(r"strftime_now\s*\(")
INSTRUCT = "use the instruct (chat) version of this model"


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How a tokenizer's chats look.

    ``header`` opens every assistant turn, ``prompt`` is the generation prompt (it starts with the
    header), ``stop`` ends a turn. ``control`` matches texts that content must not hold, ``special`` the
    texts of special tokens, whose ids are ``special_ids``.
    """

    tokenizer: Any
    header: str
    prompt: str
    stop: str
    stop_id: int
    control: re.Pattern[str]
    special: re.Pattern[str]
    special_ids: frozenset[int]


def freeze(tokenizer: Any) -> str:
    """Fix the tokenizer's chat template to one text for all days; return it.

    Raises ``ModelUnavailable`` when there is none, or when it cannot be freed from today's date.
    """
    try:
        template = str(tokenizer.get_chat_template())
    except ValueError:
        raise ModelUnavailable("the model has no chat template", INSTRUCT) from None

    def written(call: re.Match[str]) -> str:
        return repr(FROZEN_DATE.strftime(call["format"]))

    tokenizer.chat_template = NOW_CALL.sub(written, template)
    left = ANY_CALL.search(tokenizer.chat_template)
    if left or _render_on(tokenizer, 1) != _render_on(tokenizer, 2):
        raise ModelUnavailable(
            "the chat template writes today's date in a way that cannot be fixed",
            "give the model's folder a chat_template.jinja without strftime_now",
        )
    return str(tokenizer.chat_template)


def _render_on(tokenizer: Any, day: int) -> str:
    """Render a short chat as if today were that day of the year 2000."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    today = datetime(2000, day, day, day, day, day, tzinfo=UTC)
    compiled = _compile_jinja_template(tokenizer.chat_template)
    try:
        return str(
            compiled.render(
                messages=[{"role": "user", "content": "x"}],
                tools=None,
                add_generation_prompt=True,
                strftime_now=today.strftime,
                **tokenizer.special_tokens_map,
            )
        )
    except Exception as error:  # noqa: BLE001 - a template is foreign code
        raise ModelUnavailable(
            f"the chat template cannot render a plain question: {error}", INSTRUCT
        ) from None


def render(tokenizer: Any, messages: list[dict[str, Any]], **options: Any) -> str:
    """Render messages to text with the tokenizer's template."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))


def learn_format(tokenizer: Any) -> ChatFormat:
    """Find out how the (frozen) template opens and closes assistant turns.

    Raises ``ModelUnavailable`` for a template whose turns cannot be told apart.
    """
    question = [{"role": "user", "content": "QUESTION-1"}]
    prompt = render(tokenizer, question, add_generation_prompt=True).removeprefix(
        render(tokenizer, question, add_generation_prompt=False)
    )
    chat = [
        *question,
        {"role": "assistant", "content": "ANSWER-1"},
        {"role": "user", "content": "QUESTION-2"},
        {"role": "assistant", "content": "ANSWER-2"},
    ]
    text = render(tokenizer, chat)
    between = text.partition("QUESTION-1")[2].partition("ANSWER-1")[0]
    header = next(
        (prompt[:end] for end in range(len(prompt), 0, -1) if prompt[:end] in between), ""
    )
    specials = special_texts(tokenizer)
    any_special = re.compile("|".join(map(re.escape, specials)) or "(?!)")
    tails = [
        text.partition("ANSWER-1")[2].partition("QUESTION-2")[0],
        text.partition("ANSWER-2")[2],
    ]
    stops = {found[0] if (found := any_special.match(tail.lstrip())) else "" for tail in tails}
    if not header or text.count(header) != 2 or len(stops) != 1 or stops == {""}:
        raise ModelUnavailable(
            "the chat template does not mark where the assistant's turns start and stop",
            INSTRUCT,
        )
    (stop,) = stops
    _check_pieces(tokenizer, text, header)
    control = sorted({*specials, header.strip()}, key=len, reverse=True)
    return ChatFormat(
        tokenizer=tokenizer,
        header=header,
        prompt=prompt,
        stop=stop,
        stop_id=int(tokenizer.convert_tokens_to_ids(stop)),
        control=re.compile("|".join(map(re.escape, control))),
        special=any_special,
        special_ids=frozenset(map(int, tokenizer.convert_tokens_to_ids(specials))),
    )


def special_texts(tokenizer: Any) -> list[str]:
    """Return the texts of all special tokens, the longest first."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)


def _check_pieces(tokenizer: Any, text: str, header: str) -> None:
    """Refuse a tokenizer that makes other tokens of a turn when it stands alone.

    Prompt and answer are tokenised apart when a model answers, and so they are here. What the prompt
    looks like when an answer follows does not matter then.
    """
    cut = text.rindex(header) + len(header)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    answer = tokenizer(text[cut:], add_special_tokens=False)["input_ids"]
    if whole[-len(answer) :] != answer:
        raise ModelUnavailable(
            "the tokenizer writes an answer differently after a prompt than alone",
            "use a model with a byte-level tokenizer (Qwen, Llama 3)",
        )


def control_texts(chat_format: ChatFormat, value: object) -> Iterable[str]:
    """Yield the control texts found anywhere in ``value`` (text, or lists and objects of it)."""
    if isinstance(value, str):
        yield from chat_format.control.findall(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from control_texts(chat_format, key)
            yield from control_texts(chat_format, item)
    elif isinstance(value, list):
        for item in value:
            yield from control_texts(chat_format, item)
