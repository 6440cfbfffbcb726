"""The chat template of a tokenizer, with its date fixed, and what two or three renderings show about it.

The template is the only source of text. ``trainer.data.turns`` finds each turn from pairs of renderings.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.row_messages import REASONING, THOUGHT

# Llama 3.2's own template falls back to this day if it cannot read today's date.
FROZEN_DATE = datetime(2024, 7, 26, tzinfo=UTC)
NOW_CALL = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>.*?)(?P=quote)\s*\)""")
ANY_CALL = re.compile(r"strftime_now\s*\(")
TOOL = {"type": "function", "function": {"name": "TOOL-1", "description": "", "parameters": {}}}
SHORT_ID = 9
BOM = "\ufeff"  # some editors write one into chat_template.jinja
INSTRUCT = "use the instruct (chat) version of this model"
MARK = (
    "give the model's folder a chat_template.jinja that ends answers with a special token, or use the instruct "
    "(chat) version of this model"
)
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How a tokenizer's chats look.

    ``prompt`` is the generation prompt, "" if the template writes none. ``stop`` ends a plain answer;
    ``stop_follows`` if the template writes it only as the start of the next message, or nowhere (Falcon, SOLAR: EOS). ``special`` matches the
    texts of special tokens, which content must not hold; their ids are ``special_ids``. ``reasoning_key`` is
    the message key in which the template reads thoughts, ``None`` if it writes none. ``text_arguments``:
    the template reads the arguments of a tool call as JSON text. ``short_ids``: it takes ids of nine letters and
    digits only (Mistral). ``parts``: it takes only lists of parts as content (SmolVLM, LLaVA). ``system_tools``: it
    writes tools only from a key ``tools`` of the system message, as JSON text (Phi-4-mini). ``whole``: the tokenizer
    encodes an answer differently after a prompt than alone, so rows are tokenised as one text.
    """

    tokenizer: Any
    prompt: str
    stop: str
    stop_id: int
    stop_follows: bool
    special: re.Pattern[str]
    special_ids: frozenset[int]
    reasoning_key: str | None = None
    text_arguments: bool = False
    short_ids: bool = False
    parts: bool = False
    system_tools: bool = False
    whole: bool = False

    def render(
        self, messages: Iterable[Message], tools: list[dict[str, Any]] | None = None, **options: Any
    ) -> str:
        """Render a row's messages to text. Raises ``ValueError`` with the template's reason."""
        try:
            plain = [self._plain(message) for message in messages]
            if self.short_ids:
                _shorten_ids(plain)
            if self.system_tools and tools and plain and plain[0]["role"] == "system":
                functions = [tool["function"] for tool in tools]
                plain[0]["tools"] = json.dumps(functions, ensure_ascii=False)
            return render(self.tokenizer, plain, tools=tools, **options)
        except Exception as error:  # noqa: BLE001 - a template is foreign code
            raise ValueError(f"the chat template refuses it ({str(error)[:200]})") from None

    def _plain(self, message: Message) -> Message:
        """The message with the keys that this template reads."""
        found = {key: value for key, value in message.items() if key != "weight"}
        found.pop("reasoning_content", None)
        if self.reasoning_key and message["role"] == "assistant":
            thought, found["content"] = divide_thoughts(message)
            if thought is not None:
                found[self.reasoning_key] = thought
        if self.text_arguments and "tool_calls" in found:
            found["tool_calls"] = [_with_text(call) for call in found["tool_calls"]]
        return _in_parts(found) if self.parts else found


def divide_thoughts(message: Message) -> tuple[str | None, str]:
    """Return the thoughts of an answer, ``None`` if it has none, and the rest of its content."""
    thought, content = message.get("reasoning_content"), message["content"]
    if thought is None and (written := THOUGHT.fullmatch(content)):
        return written["thought"].strip("\n"), written["rest"].lstrip("\n")
    return thought, content


def freeze(tokenizer: Any) -> str:
    """Replace today's date in the tokenizer's chat template by a fixed one, and return the template.

    Raises ``ModelUnavailable`` if the template is missing, or still depends on today's date.
    """
    try:
        template = str(tokenizer.get_chat_template()).removeprefix(BOM)
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

    def rendered(question: Message) -> str:
        return str(
            compiled.render(
                messages=[question],
                tools=None,
                add_generation_prompt=True,
                strftime_now=today.strftime,
                **tokenizer.special_tokens_map,
            )
        )

    try:
        return rendered(user("x"))
    except Exception as error:  # noqa: BLE001 - a template is foreign code
        with suppress(Exception):
            return rendered(_in_parts(user("x")))
        raise ModelUnavailable(
            f"the chat template cannot render a plain question: {error}", INSTRUCT
        ) from None


def render(tokenizer: Any, messages: list[Message], **options: Any) -> str:
    """Render messages to text with the tokenizer's template."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))


def learn_format(tokenizer: Any) -> ChatFormat:
    """Find out which prompt the (frozen) template writes for an answer, and how it ends one.

    Raises ``ModelUnavailable`` for a template that does not mark where an answer ends.
    """
    specials = special_texts(tokenizer)
    special = re.compile("|".join(map(re.escape, specials)) or "(?!)")
    chat = [user("QUESTION-1"), assistant("ANSWER-1"), user("QUESTION-2"), assistant("ANSWER-2")]
    if parts := _takes_parts_only(tokenizer, chat[:2]):
        chat = [_in_parts(message) for message in chat]
    question, answer = chat[:2]
    try:
        asked = render(tokenizer, [question], add_generation_prompt=True)
        alone = render(tokenizer, [question, answer])
        longer = render(tokenizer, chat)
    except Exception as error:  # noqa: BLE001 - a template is foreign code
        raise ModelUnavailable(
            f"the chat template cannot render two questions with answers: {str(error)[:200]}",
            INSTRUCT,
        ) from None
    if "ANSWER-1" not in alone:
        raise ModelUnavailable("the chat template writes no text of answers", INSTRUCT)
    end, middle = (text.partition("ANSWER-1")[2] for text in (alone, longer))
    both = [found[0] for found in special.finditer(_common(special, end, middle))]
    ends = both or [found[0] for found in special.finditer(end)]
    follows = not ends
    if follows and (found := special.match(middle.lstrip())):
        ends = [found[0]]
    if not ends and not end.strip() and tokenizer.eos_token:
        ends = [str(tokenizer.eos_token)]
    if not ends:
        raise ModelUnavailable(
            "the chat template does not mark where an answer ends: no special token follows it",
            MARK,
        )
    chat_format = ChatFormat(
        tokenizer=tokenizer,
        prompt=_prompt(special, asked, render(tokenizer, [question])),
        stop=ends[-1],
        stop_id=int(tokenizer.convert_tokens_to_ids(ends[-1])),
        stop_follows=follows,
        special=special,
        special_ids=frozenset(map(int, tokenizer.convert_tokens_to_ids(specials))),
        parts=parts,
    )
    return replace(
        _for_calls(chat_format),
        reasoning_key=_reasoning_key(chat_format),
        system_tools=_system_tools(chat_format),
        whole=_whole(tokenizer, asked, alone),
    )


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> Message:
    return {"role": "assistant", "content": text, **more}


def special_texts(tokenizer: Any) -> list[str]:
    """Return the texts of all special tokens, the longest first."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)


def _common(special: re.Pattern[str], one: str, other: str) -> str:
    """What two texts begin with, cut so that no special token is divided."""
    shared = one[: differ(one, other)]
    cut = (found.start() for found in special.finditer(one) if found.end() > len(shared))
    return shared[: next(cut, len(shared))]


def differ(one: str, other: str) -> int:
    """Return where two texts differ first, or the length of the shorter one."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def _prompt(special: re.Pattern[str], asked: str, unasked: str) -> str:
    """The generation prompt; without it some templates write an end token."""
    if asked.startswith(unasked):
        return asked.removeprefix(unasked)
    return asked.removeprefix(_common(special, unasked, asked))


def _reasoning_key(chat_format: ChatFormat) -> str | None:
    def written(key: str) -> bool:
        found = replace(chat_format, reasoning_key=key)
        chat = [user("QUESTION-1"), assistant("ANSWER-1", reasoning_content="THOUGHT-1")]
        try:
            return "THOUGHT-1" in found.render(chat)
        except ValueError:
            return False

    return next(filter(written, REASONING), None)


def _for_calls(chat_format: ChatFormat) -> ChatFormat:
    """With the form of a tool call that the template accepts, if it accepts one."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    chat = [user("QUESTION-1"), assistant("", tool_calls=[call])]
    for short_ids in (False, True):
        for text in (False, True):
            found = replace(chat_format, text_arguments=text, short_ids=short_ids)
            try:
                found.render(chat)
            except ValueError:
                continue
            return found
    return chat_format


def _takes_parts_only(tokenizer: Any, chat: list[Message]) -> bool:
    def written(messages: list[Message]) -> bool:
        try:
            text = render(tokenizer, messages)
        except Exception:  # noqa: BLE001 - a template is foreign code
            return False
        return all(str(message["content"]) in text for message in chat)

    return not written(chat) and written([_in_parts(message) for message in chat])


def _in_parts(message: Message) -> Message:
    return message | {"content": [{"type": "text", "text": message["content"]}]}


def _system_tools(chat_format: ChatFormat) -> bool:
    def written(system_tools: bool) -> bool:
        found = replace(chat_format, system_tools=system_tools)
        chat = [{"role": "system", "content": "SYSTEM-1"}, user("QUESTION-1")]
        try:
            return "TOOL-1" in found.render(chat, [TOOL])
        except ValueError:
            return False

    return not written(system_tools=False) and written(system_tools=True)


def _shorten_ids(messages: list[Message]) -> None:
    """Give every tool call and its result the same id of nine letters and digits; results follow in order."""
    waiting: list[str] = []
    for at, message in enumerate(messages):
        if "tool_calls" in message:
            calls = message["tool_calls"]
            ids = [_short_id(str(call.get("id") or f"{at}.{n}")) for n, call in enumerate(calls)]
            waiting = list(ids)
            message["tool_calls"] = [
                call | {"id": one} for call, one in zip(calls, ids, strict=True)
            ]
        elif message["role"] == "tool":
            named = message.get("tool_call_id")
            one = _short_id(named) if named else waiting[0] if waiting else _short_id(str(at))
            waiting = [other for other in waiting if other != one]
            message["tool_call_id"] = one


def _short_id(name: str) -> str:
    if len(name) == SHORT_ID and name.isalnum():
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:SHORT_ID]


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return call | {"function": function | {"arguments": arguments}}


def _whole(tokenizer: Any, asked: str, alone: str) -> bool:
    """Whether an answer has other tokens after a prompt than alone.

    Prompt and answer are tokenised apart when a model answers. Raises ``ModelUnavailable`` for a tokenizer
    with which the prompt's tokens do not stay what they are when an answer follows.
    """
    if not alone.startswith(asked):
        return False
    whole, prompt, answer = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (alone, asked, alone[len(asked) :])
    )
    if whole[-len(answer) :] == answer:
        return False
    if whole[: len(prompt)] == prompt:
        return True
    raise ModelUnavailable(
        "the tokenizer joins a prompt and its answer into other tokens than a model writes",
        "use a model with a byte-level tokenizer (Qwen, Llama 3)",
    )


def control_texts(chat_format: ChatFormat, value: object) -> Iterable[str]:
    """Yield the texts of special tokens found anywhere in ``value`` (text, or lists and objects of it)."""
    if isinstance(value, str):
        yield from chat_format.special.findall(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from control_texts(chat_format, key)
            yield from control_texts(chat_format, item)
    elif isinstance(value, list):
        for item in value:
            yield from control_texts(chat_format, item)
