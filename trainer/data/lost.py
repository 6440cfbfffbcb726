"""What a row holds and its rendering does not: tools, calls, thoughts, messages, template arguments.

A template drops without a word what it has no form for. Content is free of special tokens, so those of the
rendering are left out of the comparison: a function named ``end`` is not found in ``<|end|>``.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from trainer.contract.row_messages import is_trained
from trainer.data.templates import ChatFormat
from trainer.data.turns import Part, short

THINK = re.compile(r"</?think>")
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
GAP = "\0"  # in the place of a special token
ADVICE = {
    "system": "write it at the start of the first user message, or take a base whose template has system messages",
    "tool": "write the result as a user message, or take a base whose template has tool results",
    "user": "change the order or kind of the messages",
    "assistant": "change the order or kind of the messages",
}
BESIDE_A_CALL = "write it as an answer before the call, or remove it"
NO_CALLS = "write the call as text in 'content', or take a base whose template has tool calls"
NO_TOOLS = "remove 'tools' and describe them in a message, or take a base whose template has tools"
NO_SYSTEM = "add a system message: this template writes tools only inside one"
NO_THOUGHTS = "remove it, or take a base whose template keeps thoughts"
IN_CONTENT = "write it in 'content', between <think> and </think>, or remove it"


def lost(part: Part, chat_format: ChatFormat) -> Iterator[tuple[str, bool]]:
    """Yield what the rendering does not hold and what to do, and whether it blocks training.

    What is lost of an answer that is context only is lost at inference too: that does not block.
    """
    text = chat_format.special.sub(GAP, part.text)
    at = 0
    answers = iter(part.spans)
    for number, message in enumerate(part.row.messages):
        role, place = message["role"], text
        trained = is_trained(message)
        if trained:
            start, end = next(answers)
            place = chat_format.special.sub(GAP, part.text[start:end])
        elif role != "system":
            place = text[at:]
        found, missing = _message(message, place, chat_format, trained=trained)
        at += found if not trained and role != "system" else 0
        blocks = trained or role != "assistant"
        yield from ((f"message {number + 1}: {one}", blocks) for one in missing)
    yield from ((one, True) for one in _tools(part, text, chat_format))


def _message(
    message: dict[str, Any], place: str, chat_format: ChatFormat, *, trained: bool
) -> tuple[int, list[str]]:
    """How far into ``place`` the message was found, and what of it was not."""
    missing = [*_thoughts(message, place, chat_format)] if trained else []
    at = 0
    for wanted in _contents(message, whole=trained):
        found = _find(place[at:], wanted)
        if found >= 0:
            at += found if not trained else 0
            continue
        advice = NO_THOUGHTS if "<think>" in message["content"] else ADVICE[message["role"]]
        if message.get("tool_calls"):
            advice = BESIDE_A_CALL
        missing.append(f"the chat template leaves out {short(wanted)!r}: {advice}")
    return at, [*missing, *_calls(message, place[at:])]


def warnings(part: Part, chat_format: ChatFormat) -> Iterator[str]:
    """Yield what differs in a way that may be meant."""
    answers = iter(part.spans)
    for number, message in enumerate(part.row.messages):
        name = message.get("name")
        if name and message["role"] != "tool" and name not in part.text:
            yield f"message {number + 1}: the chat template leaves out the name {short(name)!r}: write it in 'content'"
        if not is_trained(message):
            continue
        start, end = next(answers)
        content = THOUGHTS.sub("", message["content"]).lstrip("\n")
        if content.strip() and content not in part.text[start:end]:
            yield (
                f"message {number + 1}: the chat template removes blank characters at the ends of the answer, "
                "so they are not trained: remove them from the data too"
            )
    last = part.row.messages[:-1]
    for key in part.row.template:
        others = {name: value for name, value in part.row.template.items() if name != key}
        try:
            without = chat_format.render(last, part.row.tools, add_generation_prompt=True, **others)
        except ValueError:
            continue
        if without == part.text[: part.spans[-1][0]]:
            yield f"the template argument {key!r} changes nothing in this chat template: remove it"


def _contents(message: dict[str, Any], *, whole: bool) -> list[str]:
    """Texts of the message that its rendering must hold; thoughts of context may be left out."""
    content = message["content"] if whole else THOUGHTS.sub("", message["content"])
    if message["role"] != "assistant":
        return [content.strip()] if content.strip() else []
    return [part.strip() for part in THINK.split(content) if part.strip()]


def _thoughts(message: dict[str, Any], place: str, chat_format: ChatFormat) -> Iterator[str]:
    thought = (message.get("reasoning_content") or "").strip()
    if thought and _find(place, thought) < 0:
        advice = NO_THOUGHTS if chat_format.reasoning_key else IN_CONTENT
        yield f"the chat template leaves out the thoughts {short(thought)!r}: {advice}"


def _calls(message: dict[str, Any], place: str) -> Iterator[str]:
    for call in message.get("tool_calls") or ():
        name = call["function"]["name"]
        found = _find(place, name)
        if found < 0:
            yield f"the chat template leaves out the tool call {short(name)!r}: {NO_CALLS}"
            return
        place = place[found + len(name) :]
        for value in _leaves(call["function"]["arguments"]):
            if all(_find(place, form) < 0 for form in _forms(value)):
                yield (
                    f"the chat template leaves out {short(str(value))!r} of the tool call {short(name)!r}: "
                    f"{NO_CALLS}"
                )


def _tools(part: Part, text: str, chat_format: ChatFormat) -> Iterator[str]:
    tools = part.row.tools
    if not tools:
        return
    before = part.row.messages[:-1]
    with_tools = part.text[: part.spans[-1][0]]
    try:
        without = chat_format.render(before, add_generation_prompt=True, **part.row.template)
    except ValueError:
        without = ""
    names = [tool["function"]["name"] for tool in tools]
    if without == with_tools:
        advice = NO_SYSTEM if chat_format.system_tools else NO_TOOLS
        yield f"the chat template writes no tools ({short(', '.join(names))}): {advice}"
        return
    for name in names:
        if name not in text:
            yield f"the chat template leaves out the tool {short(name)!r}: {NO_TOOLS}"


def _leaves(value: object) -> Iterator[object]:
    """The keys and plain values inside a tool call's arguments."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _forms(value: object) -> set[str]:
    """How a template may write a plain value: as text, JSON or Python."""
    found = {str(value), json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value)}
    if isinstance(value, str):
        found |= {form[1:-1] for form in found if len(form) > 2}
        found |= {value.strip(), value.replace("'", "\\'")}
    return found


def _find(text: str, wanted: str) -> int:
    """Where ``wanted`` begins in ``text``, as it is or escaped as JSON; -1 if nowhere."""
    found = text.find(wanted)
    if found < 0 and any(char in wanted for char in '"\\\n\t\r'):
        found = text.find(json.dumps(wanted, ensure_ascii=False)[1:-1])
    return found if found >= 0 else text.find(json.dumps(wanted)[1:-1])
