"""Has a model reword questions, and keeps the plain wording wherever the model's loses something."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.episode import Message, Question, stable_id
from datagen.models.protocol import NoReply
from datagen.questions.programs.step import steps

if TYPE_CHECKING:
    from datagen.models.protocol import Model

INSTRUCTIONS = Path(__file__).with_name("reword.txt")
AT_ONCE = 32
LONGEST = 2.0  # times the length of the plain wording
QUOTED = re.compile(r'"([^"]*)"')
NUMBER = re.compile(r"\d{4}-\d{2}-\d{2}|\d+(?:\.\d+)?")
# What a plain wording says, and the words of which a rewording needs one.
MEANINGS: Mapping[str, str] = {
    r"\bgreater than\b|\babove\b": r"\b(greater|more|higher|larger|above|over|exceed\w*)\b",
    r"\bless than\b|\bbelow\b": r"\b(less|fewer|lower|smaller|below|under)\b",
    r"\bat least\b": r"\bat least\b|\bor (more|higher|greater|later)\b|\bno (less|fewer) than\b",
    r"\bat most\b": r"\bat most\b|\bor (less|fewer|lower|earlier)\b|\bno more than\b|\bup to\b",
    r"\bhighest\b": r"\b(highest|largest|most|greatest|biggest|top|maximum)\b",
    r"\blowest\b": r"\b(lowest|smallest|least|fewest|bottom|minimum)\b",
    r"\bnot\b|\bwithout\b|\blacks\b|\bmissing\b": r"\b(not|no|without|lack\w*|missing|except|exclud\w*|other than)\b",
    r"\binclusive\b": r"\binclu(ded|sive|ding)\b",
    r"\bmedian\b": r"\bmedian\b",
    r"\baverage\b": r"\b(average|mean)\b",
    r"\btotal\b": r"\b(total|sum)\b",
    r"\bsample\b": r"\bsample\b|n\s*-\s*1",
    r"\bn - 1\b": r"n\s*[-\u2212]\s*1",
    r"\bInterpolate\b": r"\binterpolat\w*\b",
    r"\bSpearman\b": r"\bSpearman\b",
    r"\bPearson\b": r"\bPearson\b",
    r"\bdecimals\b": r"\bdecimals?\b",
    r"\blist\b": r"\blist\b",
}


@dataclass(frozen=True, kw_only=True)
class Reworded:
    """The questions in their order; `kept` counts why some have their plain wording still."""

    questions: list[Question]
    kept: Mapping[str, int]


async def reword(questions: Sequence[Question], model: Model) -> Reworded:
    """Ask the model for another wording of each question; what it may not lose is checked.

    A reworded question has an id of its own, and its plain wording in `params["plain"]`. A call
    without a usable answer leaves the plain wording; a Fault of the model's ends it all.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    instructions = Message(role="system", content=INSTRUCTIONS.read_text("utf-8").strip())
    kept: Counter[str] = Counter()

    async def one(question: Question) -> Question:
        asked = [instructions, Message(role="user", content=question.text)]
        try:
            async with gate:
                reply = await model.reply(asked, session=f"reword-{question.id}")
        except NoReply as failure:
            kept[f"no reply: {failure.kind}"] += 1
            return question
        text = " ".join(reply.text.split())
        reason = lost(question, text)
        if reason is not None:
            kept[reason] += 1
            return question
        params = {**question.params, "plain": question.text}
        return question.model_copy(
            update={"id": stable_id(question.id, text), "text": text, "params": params}
        )

    done = await asyncio.gather(*(one(question) for question in questions))
    return Reworded(questions=list(done), kept=kept)


def lost(question: Question, text: str) -> str | None:
    """What another wording of a question lost or made up, None when it can stand for it."""
    plain = question.text
    if not text or "```" in text or len(text) > LONGEST * len(plain):
        return "no question came back"
    made = {makes.name for name in question.family.split(".") if (makes := steps()[name].makes)}
    quoted, now_quoted = set(QUOTED.findall(plain)), set(QUOTED.findall(text))
    if quoted - made - now_quoted:
        return "a name or value was lost"
    if now_quoted - quoted:
        return "a name or value was made up"
    numbers, now_numbers = _numbers(plain), _numbers(text)
    if numbers - now_numbers:
        return "a number was lost"
    if now_numbers - numbers:
        return "a number was made up"
    bare, now_bare = QUOTED.sub("", plain), QUOTED.sub("", text)
    for meaning, words in MEANINGS.items():
        if re.search(meaning, bare) and not re.search(words, now_bare, re.IGNORECASE):
            return "a meaning was lost"
    return None


def _numbers(text: str) -> set[str]:
    """The numbers and dates outside quotes; those that define something (0 to 1) do not count."""
    bare = QUOTED.sub("", text)
    for phrase in ("0 to 1", "1 to 12", "n - 1", "1 + "):
        bare = bare.replace(phrase, "")
    return set(NUMBER.findall(bare))
