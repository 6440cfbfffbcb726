"""Where each assistant turn of a chat starts and stops, found from pairs of renderings.

A turn starts where the rendering with the generation prompt ends, and stops with the token that ends it. Many templates
write a turn differently once later messages follow (Qwen3 removes its thoughts, gpt-oss changes its end token,
Mistral moves the tools). Such a turn is trained in a row that ends with it, as the model writes it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainer.contract.row_messages import is_trained
from trainer.contract.rows import Row
from trainer.data.templates import ChatFormat, control_texts, differ, divide_thoughts

Mode = Literal["auto", "keep", "split"]
SHOWN = 40
# What a generation prompt begins of an answer, and the template may not write in the answer itself.
THOUGHTS = re.compile(r"\s*(<think>|<\|channel>thought)")
OPENS_THOUGHTS = re.compile(r"<think>\s*\Z")
NO_THOUGHTS = re.compile(r"(<think>\s*</think>|<\|channel>thought\s*<channel\|>)\s*\Z")
THINKING = "enable_thinking"
SPLIT = "train each turn as a separate row with --set turns=split"
KEEPS = "give the model's folder a chat_template.jinja that keeps it"
THINK = "give the answer thoughts as 'reasoning_content', which the prompt of this template begins"


class TurnFault(ValueError):  # noqa: N818 - like trainer.contract.command.errors.Fault
    """A row that cannot be trained; ``check`` names what it fails."""

    def __init__(self, check: str, text: str) -> None:
        self.check = check
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Turn:
    """One trained turn: the text that inference sends for it, what the model writes (with its stop), what comes after."""

    index: int
    asked: str
    answer: str
    rest: str

    @property
    def text(self) -> str:
        return self.asked + self.answer + self.rest


@dataclass(frozen=True, slots=True)
class Part:
    """A rendered chat of which ``spans`` (characters from, to) are trained; ``row`` has its messages."""

    row: Row
    text: str
    spans: tuple[tuple[int, int], ...]


def trained(messages: Sequence[dict[str, Any]]) -> list[int]:
    """Return the indexes of the messages that are trained on."""
    return [at for at, message in enumerate(messages) if is_trained(message)]


def parts(chat_format: ChatFormat, row: Row, mode: Mode) -> list[Part]:
    """Return the chats in which the turns of ``row`` are trained, the longest first.

    One, if the template leaves earlier turns as they were; ``keep`` refuses any other row. Raises
    ``TurnFault``. Messages after the last trained turn are left out: they change nothing. The row of a part has
    the template argument ``enable_thinking`` if the template needs it for such answers.
    """
    _check_texts(chat_format, row)
    row, turns = _turns(chat_format, row)
    found = []
    while turns:
        last = turns[-1]
        whole = last.text
        right = (
            [last]
            if mode == "split"
            else [t for t in turns if whole.startswith(t.asked + t.answer)]
        )
        spans = tuple((len(t.asked), len(t.asked) + len(t.answer)) for t in right)
        found.append(Part(_only(row, [t.index for t in right]), whole, spans))
        turns = [turn for turn in turns if turn not in right]
        if turns and mode == "keep":
            raise TurnFault("earlier turns", _rewritten(turns[0], whole))
    return found


def _turns(chat_format: ChatFormat, row: Row) -> tuple[Row, list[Turn]]:
    """The row and its trained turns.

    With ``enable_thinking`` as the answers have thoughts or not, if inference would otherwise send a prompt that
    they do not continue.
    """
    wanted = trained(row.messages)
    try:
        return row, [_turn(chat_format, row, at) for at in wanted]
    except TurnFault as fault:
        if fault.check != "earlier turns" or THINKING in row.template:
            raise
        thinks = any(divide_thoughts(row.messages[at])[0] is not None for at in wanted)
        other = replace(row, template=row.template | {THINKING: thinks})
        try:
            return other, [_turn(chat_format, other, at) for at in wanted]
        except TurnFault:
            raise fault from None


def _only(row: Row, indexes: list[int]) -> Row:
    """The row up to the last of these turns, with no other turn trained."""
    messages = [
        message | {"weight": 0} if message["role"] == "assistant" and at not in indexes else message
        for at, message in enumerate(row.messages[: indexes[-1] + 1])
    ]
    return replace(row, messages=messages)


def _turn(chat_format: ChatFormat, row: Row, at: int) -> Turn:
    who = f"message {at + 1}"
    before = row.messages[:at]
    if not any(message["role"] != "system" for message in before):
        try:
            asked = _asked(chat_format, row, at)
        except ValueError:
            text = f"{who}: an answer to no question: add the question, or give it weight 0"
            raise TurnFault("rendering", text) from None
    else:
        try:
            asked = _asked(chat_format, row, at)
        except ValueError as error:
            raise TurnFault("rendering", f"{who}: {error}: {_change(before)}") from None
    try:
        alone = chat_format.render(row.messages[: at + 1], row.tools, **row.template)
    except ValueError as error:
        raise TurnFault("rendering", f"{who}: {error}: {_change(row.messages[: at + 1])}") from None
    tail = _tail(asked, alone, row, at)
    if tail is None:
        raise TurnFault("earlier turns", f"{who}: {_preceded(chat_format, row, at, alone, asked)}")
    end = tail.rfind(chat_format.stop)
    if end >= 0 and not chat_format.stop_follows:
        end += len(chat_format.stop)
        return Turn(at, asked, tail[:end], tail[end:])
    closed = [
        found for found in chat_format.special.finditer(tail) if found.end() == len(tail.rstrip())
    ]
    if closed:
        return Turn(at, asked, tail[: closed[0].end()], tail[closed[0].end() :])
    if chat_format.stop == chat_format.tokenizer.eos_token:
        tail = tail.rstrip()  # what separates the answer from a next message
    return Turn(at, asked, tail + _follower(chat_format, row, at), "")


def _tail(asked: str, alone: str, row: Row, at: int) -> str | None:
    """What follows ``asked`` when the model answers: the end of ``alone``, and thoughts that it leaves out."""
    if alone.startswith(asked):
        return alone[len(asked) :]
    thought, _ = divide_thoughts(row.messages[at])
    found = (NO_THOUGHTS if thought is None else OPENS_THOUGHTS).search(asked)
    if found and alone.startswith(asked[: found.start()]):
        tail = alone[found.start() :]
        if not THOUGHTS.match(tail):
            return tail if thought is None else f"{thought}\n</think>\n\n{tail.lstrip()}"
    start = _start(asked, alone, row, at)
    return None if start < 0 else alone[start:]


def _asked(chat_format: ChatFormat, row: Row, at: int, **options: Any) -> str:
    return chat_format.render(
        row.messages[:at], row.tools, add_generation_prompt=True, **row.template | options
    )


def _start(asked: str, alone: str, row: Row, at: int) -> int:
    """Where the answer starts in ``alone``, if the template writes something only before a generation prompt.

    Mistral writes the system message only before a last question. The end of ``asked``, with all of the last
    message, must be found before the answer; -1 if it is not.
    """
    content = row.messages[at - 1]["content"].strip() if at else ""
    ends = asked[asked.rfind(content) :] if content and content in asked else ""
    found = alone.rfind(ends) if ends else -1
    return found + len(ends) if found >= 0 else -1


def _preceded(chat_format: ChatFormat, row: Row, at: int, alone: str, asked: str) -> str:
    """Why a turn is not preceded by the text of inference, and what helps."""
    what = f"is preceded by another text in training than at inference ({apart(alone, asked)})"
    for thinking in (False, True):
        options = {THINKING: thinking}
        try:
            other = _asked(chat_format, row, at, **options)
            text = chat_format.render(row.messages[: at + 1], row.tools, **row.template | options)
        except ValueError:
            continue
        if text.startswith(other):
            value = str(thinking).lower()
            return f'{what}: give the row "chat_template_kwargs": {{"enable_thinking": {value}}}'
    begins = OPENS_THOUGHTS.search(asked) and divide_thoughts(row.messages[at])[0] is None
    return f"{what}: {THINK if begins else KEEPS}"


def _change(messages: Sequence[dict[str, Any]]) -> str:
    roles = {message["role"] for message in messages}
    if "tool" in roles:
        return "write tool results as user messages, or change the order of the messages"
    if "system" in roles:
        return "write the system message at the start of the first user message"
    return "change the order or kind of the messages"


def _follower(chat_format: ChatFormat, row: Row, at: int) -> str:
    """The special token that ends a turn, if the template writes it as the start of the next message."""
    called = row.messages[at].get("tool_calls")
    if not called:
        return chat_format.stop
    plain = {"role": "assistant", "content": "", "tool_calls": called}
    after = {"role": "tool", "content": "x"}
    try:
        alone = chat_format.render([*row.messages[:at], plain], row.tools, **row.template)
        text = chat_format.render([*row.messages[:at], plain, after], row.tools, **row.template)
    except ValueError:
        return chat_format.stop
    following = text[len(alone) :] if text.startswith(alone) else ""
    found = chat_format.special.match(following.lstrip())
    return found[0] if found else chat_format.stop


def _check_texts(chat_format: ChatFormat, row: Row) -> None:
    for at, message in enumerate(row.messages):
        for text in control_texts(chat_format, message):
            raise TurnFault(
                "fake turns",
                f"message {at + 1}: holds {text!r}, which only the chat template may write: remove or rewrite it",
            )
    for text in control_texts(chat_format, row.tools):
        raise TurnFault(
            "fake turns", f"tools: hold {text!r}, which only the chat template may write: remove it"
        )


def _rewritten(turn: Turn, whole: str) -> str:
    mine = turn.asked + turn.answer
    return (
        f"message {turn.index + 1}: the chat template writes it, or what precedes it, differently once more "
        f"messages follow ({apart(whole, mine)}): {SPLIT}"
    )


def apart(here: str, there: str) -> str:
    """Show two texts from where they differ on."""
    at = differ(here, there)
    return f"{short(here[at:])!r} against {short(there[at:])!r}"


def short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
