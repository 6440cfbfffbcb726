"""Where a row that is too long may be split: only where a person speaks.

Agents without tools write the output of code as a user message. Such a message belongs to the question before
it and never starts a part. In a row that datagen exported every user message after the first is one.
"""

import re
from collections.abc import Sequence
from typing import Any

from trainer.contract.rows import Row

Message = dict[str, Any]
# How agents write the output of code that the assistant wrote; in the words that they use.
OUTPUT = re.compile(
    r"\s*(\*{0,2}\[?<?\b(stdout|stderr|output|observation|result|tool[_ ](response|result|output)|"
    r"execution (result|output)|code execution|traceback)\b)",
    re.IGNORECASE,
)


def stretches(row: Row) -> tuple[list[Message], list[list[Message]]]:
    """Return the leading system messages, and the rest cut where a person speaks."""
    messages, lead = row.messages, 0
    while lead < len(messages) and messages[lead]["role"] == "system":
        lead += 1
    rest = messages[lead:]
    starts = [at for at in range(len(rest)) if at == 0 or (not row.episode and _speaks(rest, at))]
    ends = [*starts[1:], len(rest)]
    return [*messages[:lead]], [[*rest[a:b]] for a, b in zip(starts, ends, strict=True)]


def _speaks(messages: Sequence[Message], at: int) -> bool:
    """Whether a person speaks here: a user message after an answer, which is not output of code."""
    message, before = messages[at], messages[at - 1]
    if message["role"] != "user" or before["role"] != "assistant" or before.get("tool_calls"):
        return False
    return not OUTPUT.match(message["content"])
