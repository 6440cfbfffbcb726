"""One parsed row into messages of one shape: which formats, which roles, which contents."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
FROM_ROLES = ROLES | {"human": "user", "gpt": "assistant", "observation": "tool"}
KEPT = ("tool_calls", "tool_call_id", "name", "weight", "reasoning_content")
NOT_TEXT = ("audio", "refusal", "function_call")


class RowFault(Exception):  # noqa: N818 - as contract.errors.Fault
    """What is wrong with a row and what to do; ``lines`` has one text for each thing."""

    def __init__(self, what: str, todo: str = "", *, lines: Sequence[str] = ()) -> None:
        self.lines = list(lines) or [f"{what}: {todo}"]
        super().__init__("; ".join(self.lines))


def read_row(value: object) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """Return (messages, tools) of one row. Raises ``RowFault`` with everything that is wrong."""
    if not isinstance(value, dict):
        raise RowFault(f"{_kind(value)}, not an object", "write {'messages': [...]} per line")
    found = _raw_messages(value)
    messages = []
    faults: list[str] = []
    for index, raw in enumerate(found):
        try:
            messages.append(_message(raw))
        except RowFault as fault:
            faults += [f"message {index + 1}: {line}" for line in fault.lines]
    if not faults and not any(
        m["role"] == "assistant" and m.get("weight", 1) == 1 for m in messages
    ):
        turns = any(m["role"] == "assistant" for m in messages)
        faults.append(
            "every assistant turn has weight 0: give one weight 1, or remove the row"
            if turns
            else "no assistant turn: add the answer that is to be learned"
        )
    tools = value.get("tools") or None
    if tools is not None and not (
        isinstance(tools, list) and all(isinstance(t, dict) for t in tools)
    ):
        faults.append("'tools' is not a list of objects: write them as OpenAI does")
    if faults:
        raise RowFault("", lines=faults)
    return messages, tools


def _raw_messages(row: dict[str, Any]) -> list[Any]:
    if "messages" in row or "conversations" in row:
        key = "messages" if "messages" in row else "conversations"
        found = row[key]
        if not isinstance(found, list):
            raise RowFault(f"{key!r} is {_kind(found)}, not a list", "write a list of messages")
        if not found:
            raise RowFault(f"{key!r} is empty", "add the turns, or remove the row")
        return found
    if "prompt" in row and "completion" in row:
        return _turns(row["prompt"], "user", context=True) + _turns(
            row["completion"], "assistant", context=False
        )
    for key in ("text", "input_ids"):
        if key in row:
            raise RowFault(
                f"a {key!r} row does not say which turns are the assistant's",
                "write 'messages' instead",
            )
    if "functions" in row:
        raise RowFault("'functions' is the old form", "write 'tools'")
    keys = ", ".join(sorted(row)[:8]) or "nothing"
    near = difflib.get_close_matches("messages", list(row), n=1)
    raise RowFault(
        f"no 'messages' (found {keys})",
        f"rename {near[0]!r} to 'messages'" if near else "write the chat as 'messages'",
    )


def _turns(value: object, role: str, *, context: bool) -> list[Any]:
    """One side of prompt + completion; assistant turns of the prompt are context only."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise RowFault(f"{_kind(value)} as prompt or completion", "write text or messages")
    return [
        turn | {"weight": 0}
        if context and isinstance(turn, dict) and turn.get("role") == "assistant"
        else turn
        for turn in value
    ]


def _message(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise RowFault(f"{_kind(raw)}, not an object", "write {'role': ..., 'content': ...}")
    role = _role(raw)
    key = "value" if "content" not in raw and "value" in raw else "content"
    message: dict[str, Any] = {"role": role}
    _check_keys(raw, role)
    calls = raw.get("tool_calls")
    message["content"] = _content(raw.get(key), key, may_be_null=bool(calls))
    if calls:
        message["tool_calls"] = _tool_calls(calls)
    if raw.get("weight") is not None:
        weight = raw["weight"]
        if isinstance(weight, bool) or weight not in (0, 1):
            raise RowFault(f"weight is {weight!r}", "write 0 (context only) or 1 (trained)")
        message["weight"] = int(weight)
    for name in ("tool_call_id", "name", "reasoning_content"):
        if raw.get(name) is not None:
            if not isinstance(raw[name], str):
                raise RowFault(f"{name!r} is {_kind(raw[name])}, not text", "write text")
            message[name] = raw[name]
    return message


def _role(raw: dict[str, Any]) -> str:
    named = raw.get("role", raw.get("from"))
    table = ROLES if "role" in raw else FROM_ROLES
    if named is None:
        raise RowFault("no role", f"give it one of {', '.join(table)}")
    if not isinstance(named, str) or named not in table:
        raise RowFault(f"unknown role {named!r}", f"use one of {', '.join(table)}")
    return table[named]


def _check_keys(raw: dict[str, Any], role: str) -> None:
    for key in NOT_TEXT:
        if raw.get(key):
            todo = "write it as 'tool_calls'" if key == "function_call" else "remove the message"
            raise RowFault(f"{key!r} is not text that can be trained on", todo)
    if role != "assistant":
        for key in ("weight", "tool_calls"):
            if raw.get(key) is not None:
                raise RowFault(f"{key!r} on a {role} message", "only assistant messages have it")
    for key in raw:
        # A misspelt 'weight' would train a turn that is meant as context.
        near = difflib.get_close_matches(key, KEPT, n=1, cutoff=0.8) if key not in KNOWN else ()
        if near:
            raise RowFault(f"unknown key {key!r}", f"did you mean {near[0]!r}?")


KNOWN = frozenset({"role", "content", "from", "value", *KEPT, *NOT_TEXT})


def _content(value: object, key: str, *, may_be_null: bool) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        if may_be_null:
            return ""
        raise RowFault(f"{key!r} is null without tool calls", "write the text, or remove the turn")
    if not isinstance(value, list):
        raise RowFault(f"{key!r} is {_kind(value)}, not text", "write text")
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            shown = kind if isinstance(kind, str) else _kind(part)
            raise RowFault(f"a part of {key!r} is not text ({shown})", "keep text parts only")
        texts.append(part["text"])
    return "".join(texts)


def _tool_calls(calls: object) -> list[dict[str, Any]]:
    if not isinstance(calls, list):
        raise RowFault(f"'tool_calls' is {_kind(calls)}, not a list", "write a list of calls")
    return [_tool_call(call) for call in calls]


def _tool_call(call: object) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        raise RowFault("a tool call without 'function'", "write it as OpenAI does")
    if not isinstance(function.get("name"), str):
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


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
