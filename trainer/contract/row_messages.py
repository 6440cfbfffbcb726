"""One message of a row, in any accepted format, as a message of one shape."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.contract import row_keys
from trainer.contract.data_faults import quote

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
    "tool_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
FROM_ROLES = ROLES | {"human": "user", "gpt": "assistant", "observation": "tool"}
CALL_ROLES = ("function_call", "tool_call")  # the text of such a message is the call, as JSON
USUAL = "system, developer, user, assistant, tool"
REASONING = ("reasoning_content", "reasoning", "thinking")
SWITCHES = ("loss", "train", "training")
THINKING_PARTS = ("thinking", "reasoning")
THOUGHT = re.compile(r"\s*<think>(?P<thought>.*?)</think>(?P<rest>.*)", re.DOTALL)
# What a model writes whose prompt begins the thoughts, without a server that divides its reply.
CONTINUED = re.compile(r"(?P<thought>|(?:(?!<think>).)*?\n)</think>\n(?P<rest>.*)", re.DOTALL)
Note = Callable[[str], None]


class RowFault(Exception):  # noqa: N818 - like trainer.contract.command.errors.Fault
    """What is wrong with a row and what to do; ``lines`` has one text for each thing."""

    def __init__(self, what: str, todo: str = "", *, lines: Sequence[str] = ()) -> None:
        self.lines = list(lines) or [f"{what}: {todo}"]
        super().__init__("; ".join(self.lines))


def is_trained(message: Mapping[str, Any]) -> bool:
    """Whether a message of a row that was read is trained on: an answer that is not context only."""
    return bool(message["role"] == "assistant" and message.get("weight", 1) == 1)


def read_message(raw: object, note: Note) -> dict[str, Any]:
    """Return the message; ``note`` receives what is ignored. Raises ``RowFault``."""
    if not isinstance(raw, dict):
        raise RowFault(f"{kind_of(raw)}, not an object", "write {'role': ..., 'content': ...}")
    named = raw.get("role", raw.get("from"))
    role = _role(raw)
    key = "value" if "content" not in raw and "value" in raw else "content"
    _check_keys(raw, role, note)
    message: dict[str, Any] = {"role": role}
    calls = raw.get("tool_calls") or None
    if named in CALL_ROLES:
        calls, content, thought = raw.get(key), "", ""
    else:
        content, thought = _content(raw.get(key), key, may_be_null=bool(calls))
    message["content"] = content
    if calls:
        message["tool_calls"] = _tool_calls(calls)
    if (weight := _weight(raw, role)) is not None:
        message["weight"] = weight
    for name in ("tool_call_id", "name"):
        if raw.get(name) is not None:
            message[name] = _text(raw, name)
    if role == "system" and raw.get("tools"):
        message["tools"] = raw["tools"]
    _add_thoughts(
        message, [thought, *(_text(raw, name) for name in REASONING if raw.get(name))], raw
    )
    return message


def _add_thoughts(message: dict[str, Any], given: Sequence[str], raw: dict[str, Any]) -> None:
    thoughts = {thought for thought in given if thought.strip()}
    if not thoughts and raw.get("reasoning_details"):
        thoughts = {_details(raw["reasoning_details"])} - {""}
    written = THOUGHT.fullmatch(message["content"]) if thoughts else None
    if message["role"] == "assistant" and "</think>\n" in message["content"]:
        written = written or CONTINUED.fullmatch(message["content"])
    if written:
        message["content"] = written["rest"].lstrip("\n")
        thought = written["thought"].strip("\n")
        if thought.strip() and all(thought.strip() != other.strip() for other in thoughts):
            thoughts.add(thought)
    if len(thoughts) > 1:
        names = " and ".join((*REASONING, "content"))
        raise RowFault(f"two different thoughts in {names}", "keep one of them")
    if thoughts:
        if message["role"] != "assistant":
            raise RowFault(
                f"thoughts on a {message['role']} message", "only assistant messages have them"
            )
        message["reasoning_content"] = thoughts.pop()


def _details(details: object) -> str:
    """The text in OpenRouter's list of thoughts."""
    found = details if isinstance(details, list) else []
    return "".join(
        one["text"] for one in found if isinstance(one, dict) and isinstance(one.get("text"), str)
    )


def _role(raw: dict[str, Any]) -> str:
    named = raw.get("role", raw.get("from"))
    table = ROLES if "role" in raw else FROM_ROLES
    usual = USUAL if "role" in raw else f"{USUAL}, human, gpt, function_call, observation"
    if named is None:
        raise RowFault("no role", f"give it one of {usual}")
    if not isinstance(named, str) or named not in table:
        raise RowFault(f"unknown role {quote(named)}", f"use one of {usual}")
    return table[named]


def _check_keys(raw: dict[str, Any], role: str, note: Note) -> None:
    for key, value in raw.items():
        if key in row_keys.MESSAGE_READ:
            continue
        if key in row_keys.MESSAGE_REFUSED:
            if value and value != row_keys.HARMLESS.get(key):
                what, todo = row_keys.MESSAGE_REFUSED[key]
                raise RowFault(f"{key!r} {what}", todo)
        elif key in row_keys.MESSAGE_IGNORED or value is None:
            continue
        elif role == "assistant" and row_keys.THOUGHTS.search(key):
            raise RowFault(
                f"unknown key {quote(key)}", "write thoughts as 'reasoning_content', or remove it"
            )
        elif row_keys.looks_like_mask(key):
            near = row_keys.nearest(key, row_keys.MESSAGE_READ)
            hint = f"did you mean {near!r}? write" if near else "write"
            raise RowFault(
                f"unknown key {quote(key)}", f"{hint} 'weight': 0 (context only) or 1 (trained)"
            )
        else:
            near = row_keys.nearest(key, row_keys.MESSAGE_READ)
            hint = (
                f"did you mean {near!r}?"
                if near
                else "what the model must see belongs in 'content'"
            )
            note(f"unknown message key {quote(key)} is ignored: {hint}")
    for key, owner in (("tool_calls", "assistant"), ("tools", "system")):
        if role != owner and raw.get(key):
            raise RowFault(f"{key!r} on a {role} message", f"only {owner} messages have it")


def _weight(raw: dict[str, Any], role: str) -> int | None:
    """0 for context only, 1 for trained; ``None`` if the message does not say."""
    found = {}
    for key in SWITCHES:
        if raw.get(key) is not None:
            if not isinstance(raw[key], bool):
                raise RowFault(
                    f"{key!r} is {quote(raw[key])}", "write true or false, or 'weight': 0 or 1"
                )
            found[key] = int(raw[key])
    if raw.get("weight") is not None:
        weight = raw["weight"]
        if not isinstance(weight, int | float) or isinstance(weight, bool) or weight not in {0, 1}:
            raise RowFault(f"weight is {quote(weight)}", "write 0 (context only) or 1 (trained)")
        if role != "assistant":
            raise RowFault(f"'weight' on a {role} message", "only assistant messages have it")
        found["weight"] = int(weight)
    if len(set(found.values())) > 1:
        raise RowFault(f"{' and '.join(found)} contradict each other", "keep one of them")
    if role != "assistant":
        if any(found.values()):
            raise RowFault(
                f"{next(iter(found))!r} is true on a {role} message", "only answers are trained"
            )
        return None
    return next(iter(found.values()), None)


def _text(raw: dict[str, Any], name: str) -> str:
    if not isinstance(raw[name], str):
        raise RowFault(f"{name!r} is {kind_of(raw[name])}, not text", "write text")
    return str(raw[name])


def _content(value: object, key: str, *, may_be_null: bool) -> tuple[str, str]:
    """The text, and the thoughts that stand in parts of it."""
    if isinstance(value, str):
        return value, ""
    if value is None:
        if may_be_null:
            return "", ""
        raise RowFault(f"{key!r} is null without tool calls", "write the text, or remove the turn")
    if not isinstance(value, list):
        raise RowFault(f"{key!r} is {kind_of(value)}, not text", "write text")
    texts, thoughts = [], []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in THINKING_PARTS and isinstance(part.get(kind), str | list):
            thoughts.append(_content(part[kind], kind, may_be_null=False)[0])
        elif kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            shown = quote(kind).strip("'") if isinstance(kind, str) else kind_of(part)
            raise RowFault(f"a part of {key!r} is not text ({shown})", "keep text parts only")
    return "".join(texts), "".join(thoughts)


def _tool_calls(calls: object) -> list[dict[str, Any]]:
    if isinstance(calls, str):
        calls = from_json(calls, "'tool_calls'")
    if isinstance(calls, dict):
        calls = [calls]
    if not isinstance(calls, list):
        raise RowFault(f"'tool_calls' is {kind_of(calls)}, not a list", "write a list of calls")
    return [_tool_call(call) for call in calls]


def _tool_call(call: object) -> dict[str, Any]:
    if isinstance(call, dict) and "function" not in call and isinstance(call.get("name"), str):
        call = {"function": call}
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise RowFault("a tool call without 'function'", "write it like OpenAI")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise RowFault("a tool call without a function name", "give the function's name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        raise RowFault("a tool call's arguments are not a JSON object", "write an object")
    return call | {"type": "function", "function": function | {"arguments": arguments}}


def from_json(text: str, name: str) -> object:
    try:
        value: object = json.loads(text or "null")
    except (ValueError, RecursionError):
        raise RowFault(f"{name} is text that is not JSON", "write it like OpenAI") from None
    return value


def kind_of(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
