"""Why a model's answer to a question is not right, and what the model did where it gave none."""

import json
from collections import Counter
from typing import Any

REASONS = {
    "near miss": "it submitted nearly the right value: a number within 5%, a text with other case or punctuation, "
    "or all but one of the elements, in any order",
    "wrong value": "it submitted another value",
    "error": "it submitted nothing: its last code ended in an error",
    "no submit": "it submitted nothing: its code ran, or it stopped writing code",
    "wrong code": "it wrote code that is not Python, for example SQL",
    "prose": "it wrote text and no code",
    "no reply": "it gave no usable reply",
}
NEAR = 0.05


def reason(episode: dict[str, Any]) -> str:
    """Return the key of ``REASONS`` for an episode that is not verified."""
    turns = episode["traces"][-1].get("turns", [])
    if not turns:
        return "no reply"
    last = turns[-1]
    if last.get("submitted"):
        right = episode["question"].get("truth")
        return "near miss" if nearly(last.get("answer"), right) else "wrong value"
    if any(turn.get("code") is not None for turn in turns):
        return "error" if last.get("code") is not None and last.get("error") else "no submit"
    return "wrong code" if any("```" in str(turn.get("reply")) for turn in turns) else "prose"


def nearly(answer: object, truth: object) -> bool:
    """Return whether a wrong answer is close to the truth."""
    if _is_number(answer) and _is_number(truth):
        return abs(float(answer) - float(truth)) <= NEAR * abs(float(truth))  # type: ignore[arg-type]
    if isinstance(answer, str) and isinstance(truth, str):
        return _letters(answer) == _letters(truth) != ""
    if isinstance(answer, list | dict) and type(answer) is type(truth):
        found, wanted = _elements(answer), _elements(truth)
        shared = (found & wanted).total()
        return shared > 0 and shared >= max(found.total(), wanted.total()) - 1
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _elements(value: Any) -> Counter[str]:
    return Counter(map(json.dumps, value.items() if isinstance(value, dict) else value))
