"""Families by kinds of chats: `python -m tests.bench.templates` prints which are trained, refused or wrong, and why.

Rendering and labels only; the judge is transformers' apply_chat_template. Writes the table of docs/rows.md.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

from tests.trainer.data.templates import as_passed, tokenizer_for
from tests.trainer.data.test_turns import (
    AGAIN,
    CALL,
    FIRST,
    QUESTION,
    RESULT,
    SECOND,
    SYSTEM,
    THOUGHT,
    TOOLS,
    asked,
    encoded,
    trained,
)
from trainer.contract.command.errors import BadData
from trainer.data.templates import freeze, learn_format

PAGE = Path(__file__).parents[2] / "docs" / "rows.md"
START, END = "<!-- families -->\n", "<!-- end of families -->\n"
FAMILIES = {
    "Command R": "cohere", "Command R7B": "cohere2", "DeepSeek-R1 distilled": "deepseek_r1_distill",
    "DeepSeek-V3": "deepseek_v3", "Gemma 1, 2": "gemma", "Gemma 3": "gemma3", "Gemma 4": "gemma4_v5",
    "Gemma 4 31B": "gemma4_large", "GLM-4": "glm4", "GLM-4.5": "glm4moe", "gpt-oss": "gptoss",
    "Granite 3": "granite", "LFM2": "lfm2",
    "LFM2.5": "lfm2_2_5", "Llama 2": "llama2", "Llama 3": "llama3", "Llama 3.1": "llama3_1",
    "Llama 3.2": "llama3_2", "Mistral 7B v0.1": "mistral_v1", "Mistral 7B v0.3": "mistral_v3",
    "Nemotron 3 Nano": "nemotron_3_nano", "Phi-3": "phi3", "Phi-3.5": "phi3_5", "Phi-4-mini": "phi4_mini",
    "Qwen2.5": "qwen2_5", "Qwen3": "qwen3", "Qwen3-2507": "qwen3_instruct_2507", "Qwen3.5": "qwen3_5_nothink",
    "Qwen3.6": "qwen3_6", "SOLAR": "solar", "Vicuna": "vicuna", "Zephyr": "zephyr",
}  # fmt: skip
THOUGHTFUL = {"role": "assistant", "content": "submit(12)", "reasoning_content": THOUGHT}
KINDS: dict[str, tuple[list[dict], list[dict] | None]] = {
    "one turn": ([QUESTION, FIRST], None),
    "several turns": ([QUESTION, FIRST, AGAIN, SECOND], None),
    "system message": ([SYSTEM, QUESTION, FIRST, AGAIN, SECOND], None),
    "tools": ([QUESTION, CALL, RESULT, SECOND], TOOLS),
    "thoughts": ([QUESTION, THOUGHTFUL, AGAIN, THOUGHTFUL], None),
}


def run(name: str, messages: list[dict], tools: list[dict] | None, folder: Path, **more) -> str:
    """ "right", "wrong: ..." or "refused: ..." for one chat of the template's family."""
    tokenizer = tokenizer_for(name)
    freeze(tokenizer)
    chat_format = learn_format(tokenizer)
    try:
        parts, faults = encoded(folder, chat_format, messages, tools, **more)
    except BadData as fault:
        return f"refused: {fault.faults[0].partition(':1: ')[2]}"
    if faults:
        return f"refused: {faults[0]}"
    seen = [one for _, found in parts for one in trained(found.input_ids, found.labels)]
    answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    if len(seen) != len(answers):
        return f"wrong: {len(seen)} turns are trained of {len(answers)}"
    for at, (before, answer) in zip(
        answers, sorted(seen, key=lambda one: len(one[0])), strict=True
    ):
        if not tools and before != asked(
            tokenizer, as_passed(name, messages[:at]), **parts[0][0].row.template
        ):
            return f"wrong: message {at + 1} is preceded by other tokens than at inference"
        if messages[at]["content"] not in tokenizer.decode(answer):
            return f"wrong: message {at + 1} is not trained"
    return "right"


def results() -> dict[str, dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        return {
            family: {kind: run(name, *chat, Path(folder)) for kind, chat in KINDS.items()}
            for family, name in FAMILIES.items()
        }


def table(found: dict[str, dict[str, str]]) -> str:
    lines = [f"| family | {' | '.join(KINDS)} |", "| --- " * (len(KINDS) + 1) + "|"]
    lines += [
        f"| {family} | {' | '.join(one.partition(':')[0] for one in kinds.values())} |"
        for family, kinds in found.items()
    ]
    return "\n".join(lines).replace("right", "trained") + "\n"


def main() -> None:
    found = results()
    for family, kinds in found.items():
        for kind, result in kinds.items():
            print(json.dumps([family, kind, result], ensure_ascii=False))
    print(
        dict(Counter(one.partition(":")[0] for kinds in found.values() for one in kinds.values()))
    )
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}{table(found)}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
