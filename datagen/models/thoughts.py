"""Divide a model's thoughts from its text, for servers that send both as one text."""

from trainer.contract.row_messages import CONTINUED, THOUGHT

OPEN, CLOSE = "<think>", "</think>"


def divide_thoughts(text: str) -> tuple[str, str]:
    """Return (thoughts, text) of a whole reply, by the rule that reads rows.

    The reply begins with `<think>`, or with the thoughts themselves where the prompt ended with `<think>`. Thoughts
    that do not end are all there is.
    """
    thoughts = []
    while found := CLOSE in text and (THOUGHT.fullmatch(text) or CONTINUED.fullmatch(f"{text}\n")):
        thoughts.append(found["thought"].strip())
        text = found["rest"].strip()
    if text.lstrip().startswith(OPEN):
        thoughts.append(text.strip().removeprefix(OPEN).strip())
        text = ""
    return "\n".join(filter(None, thoughts)), text
