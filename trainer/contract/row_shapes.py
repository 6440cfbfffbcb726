"""One parsed row as messages, tools and template arguments: which formats of a row are accepted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trainer.contract import row_keys
from trainer.contract.data_faults import quote
from trainer.contract.row_messages import (
    THOUGHT,
    Note,
    RowFault,
    from_json,
    is_trained,
    kind_of,
    read_message,
)

LISTS = ("messages", "conversations")
# (question, answer) of rows with one key each.
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("query", "response"),
    ("instruction", "output"),
)
ONE_EACH = {*(key for pair in PAIRS for key in pair), "input", "history"}
MISSPELT = ("tools", "system", "messages", "chat_template_kwargs")
SCHEMAS = ("input_schema", "inputSchema")  # Anthropic's and MCP's name of ``parameters``
TEMPLATE = (
    "enable_thinking",
    "reasoning_effort",
)  # template arguments that may be keys of a row
# The trainer passes these to a template itself.
RESERVED = frozenset(
    "messages conversation tools documents add_generation_prompt continue_final_message tokenize "
    "chat_template padding truncation max_length return_tensors return_dict tokenizer_kwargs".split()
)


@dataclass(slots=True)
class Shape:
    """``notes`` are things that a user should know, and that change nothing."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] | None = None
    template: dict[str, Any] = field(default_factory=dict)
    episode: bool = False
    notes: list[str] = field(default_factory=list)


def read_row(value: object) -> Shape:
    """Return the content of one row. Raises ``RowFault`` with everything that is wrong."""
    if not isinstance(value, dict):
        raise RowFault(f"{kind_of(value)}, not an object", "write {'messages': [...]} per line")
    shape = Shape(episode="episode" in value)
    raw = _raw_messages(value)
    faults: list[str] = []
    for index, one in enumerate(raw):
        try:
            shape.messages.append(read_message(one, shape.notes.append))
        except RowFault as fault:
            faults += [f"message {index + 1}: {line}" for line in fault.lines]
    for read in (_add_system, _add_tools, _add_template):
        try:
            read(value, shape)
        except RowFault as fault:
            faults += fault.lines
    faults += _row_keys(value, shape.notes.append)
    faults = faults or [*_untrainable(shape.messages)]
    if faults:
        raise RowFault("", lines=faults)
    shape.notes += _unusual(shape.messages, shape.tools)
    return shape


def _raw_messages(row: dict[str, Any]) -> list[Any]:
    for key in LISTS:
        if key in row:
            found = row[key]
            if isinstance(found, str):
                found = from_json(found, repr(key))
            if not isinstance(found, list):
                raise RowFault(
                    f"{key!r} is {kind_of(found)}, not a list", "write a list of messages"
                )
            if not found:
                raise RowFault(f"{key!r} is empty", "add the turns, or remove the row")
            return found
    for question, answer in PAIRS:
        if question in row and answer in row:
            asked = row[question]
            if question == "instruction" and isinstance(asked, str) and row.get("input"):
                asked = f"{asked}\n{row['input']}"
            return [
                *_history(row.get("history")),
                *_turns(asked, "user", context=True),
                *_turns(row[answer], "assistant", context=False),
            ]
    for key, (what, todo) in row_keys.ROW_REFUSED.items():
        if key in row:
            raise RowFault(
                f"a {key!r} row {what}" if key in {"text", "input_ids"} else f"{key!r} {what}", todo
            )
    keys = quote(", ".join(sorted(row)[:8]) or "nothing").strip("'")
    near = next((key for key in row if row_keys.nearest(key, LISTS)), "")
    raise RowFault(
        f"no 'messages' (found {keys})",
        f"rename {quote(near)} to 'messages'" if near else "write the chat as 'messages'",
    )


def _turns(value: object, role: str, *, context: bool) -> list[Any]:
    """One side of question and answer; assistant turns of the question are context only."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise RowFault(f"{kind_of(value)} as prompt or completion", "write text or messages")
    return [
        turn | {"weight": 0}
        if context and isinstance(turn, dict) and turn.get("role") == "assistant"
        else turn
        for turn in value
    ]


def _history(value: object) -> Iterator[dict[str, Any]]:
    """Earlier questions and answers, which LLaMA-Factory and ms-swift train too."""
    for pair in value if isinstance(value, list) else ():
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowFault(
                "'history' is not a list of [question, answer]", "write it like LLaMA-Factory"
            )
        yield {"role": "user", "content": pair[0]}
        yield {"role": "assistant", "content": pair[1]}


def _add_system(row: dict[str, Any], shape: Shape) -> None:
    text = row.get("system")
    if text is None or text == "":
        return
    if not isinstance(text, str):
        raise RowFault(f"'system' is {kind_of(text)}, not text", "write text")
    first = shape.messages[0] if shape.messages else {}
    if first.get("role") != "system":
        shape.messages.insert(0, {"role": "system", "content": text})
    elif first["content"] != text:
        raise RowFault("'system' and a system message", "keep one of them")


def _add_tools(row: dict[str, Any], shape: Shape) -> None:
    found = [_tools(row.get("tools")), *(_tools(m.pop("tools", None)) for m in shape.messages)]
    given = [tools for tools in found if tools]
    if any(tools != given[0] for tools in given):
        raise RowFault("two different lists of 'tools'", "keep one of them")
    shape.tools = given[0] if given else None


def _tools(tools: object) -> list[dict[str, Any]]:
    if isinstance(tools, str):
        tools = from_json(tools, "'tools'")
    if not tools:
        return []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowFault("'tools' is not a list of objects", "write them like OpenAI")
    return [_tool(tool) for tool in tools]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" not in tool:
        names = dict.fromkeys(SCHEMAS, "parameters")
        tool = {"type": "function", "function": {names.get(k, k): v for k, v in tool.items()}}
    function = tool["function"]
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowFault("a tool without a function name", "write it like OpenAI")
    return tool


def _add_template(row: dict[str, Any], shape: Shape) -> None:
    found = row.get("chat_template_kwargs")
    alone = {key: row[key] for key in TEMPLATE if row.get(key) is not None}
    found = alone if found is None else found
    if not isinstance(found, dict):
        raise RowFault(
            f"'chat_template_kwargs' is {kind_of(found)}, not an object", "write an object"
        )
    if taken := RESERVED & found.keys():
        raise RowFault(
            f"'chat_template_kwargs' has {min(taken)!r}", "remove it: the trainer sets it"
        )
    shape.template = {key: value for key, value in found.items() if value is not None}
    if any(shape.template.setdefault(key, value) != value for key, value in alone.items()):
        raise RowFault(f"{' or '.join(alone)} is not the one in 'chat_template_kwargs'", "keep one")


def _row_keys(row: dict[str, Any], note: Note) -> Iterator[str]:
    """Yield the faults of keys beside the messages; ``note`` receives the ignored ones."""
    used = {*LISTS} & row.keys()
    for key, value in row.items():
        if key in row_keys.ROW_REFUSED:
            what, todo = row_keys.ROW_REFUSED[key]
            if value and key not in {"text", "input_ids"}:
                yield f"{key!r} {what}: {todo}"
        elif key == "conversations" and "messages" in used:
            yield "'messages' and 'conversations': keep one of them"
        elif key in row_keys.LIKED and value is False:
            yield f"{key!r} is false, which marks an unwanted answer (KTO): remove the row, or the key"
        elif value in (None, "") or (key in row_keys.ROW_READ and not (used and key in ONE_EACH)):
            continue
        elif row_keys.ROW_MASK.search(key):
            yield f"row key {quote(key)} is not read: write 'weight': 0 on the messages that are context only"
        elif near := row_keys.nearest(key, MISSPELT):
            note(f"unknown row key {quote(key)} is ignored: did you mean {near!r}?")
        elif row_keys.TOOLS.search(key):
            note(f"unknown row key {quote(key)} is ignored: did you mean 'tools'?")
        else:
            note(
                f"row key {quote(key)} is ignored: what the model must see belongs in the messages"
            )


def _untrainable(messages: list[dict[str, Any]]) -> Iterator[str]:
    answers = [m for m in messages if m["role"] == "assistant"]
    wanted = [m for m in answers if is_trained(m)]
    if not answers:
        yield "no assistant turn: add the answer to train"
    elif not wanted:
        yield "every assistant turn has weight 0: give one weight 1, or remove the row"
    for at, message in enumerate(messages):
        if not any(message is one for one in wanted):
            continue
        thought = THOUGHT.fullmatch(message["content"])
        if not (thought["rest"] if thought else message["content"]).strip() and not message.get(
            "tool_calls"
        ):
            yield (
                f"message {at + 1}: an empty answer, which would teach the model to answer nothing: "
                "write it, give it weight 0, or remove the row"
            )
        if not thought and message["content"].lstrip().startswith("<think>"):
            yield (
                f"message {at + 1}: thoughts that never end, as in an answer that was cut off: "
                "write </think> and the answer, or remove the row"
            )


def _unusual(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> Iterator[str]:
    """Yield what no chat looks like, though it can be trained."""
    chat = [m for m in messages if m["role"] != "system"]
    if chat[0]["role"] == "assistant":
        yield "the chat begins with an answer, before any question: add the question, or remove the answer"
    calls: list[dict[str, Any]] = []
    for message in chat:
        if message["role"] == "tool":
            if not calls:
                yield "a tool result follows no tool call: write the call as 'tool_calls' of the answer before"
            ids = [call["id"] for call in calls if call.get("id")]
            if ids and message.get("tool_call_id", ids[0]) not in ids:
                yield "a tool result names another call than the answer before: correct 'tool_call_id'"
        else:
            calls = message.get("tool_calls") or []
        for call in calls if message["role"] == "assistant" and tools else ():
            if call["function"]["name"] not in {tool["function"]["name"] for tool in tools or ()}:
                yield "a call of a tool that 'tools' does not list: add it to 'tools'"
        if message["role"] == "user" and not message["content"].strip():
            yield "a user message is empty: write it, or remove the row"
