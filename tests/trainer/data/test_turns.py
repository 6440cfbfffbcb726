"""Every template that can be read is read: prompts and answers are those of transformers' apply_chat_template."""

import json

import pytest

from tests.trainer.conftest import shipped_template
from tests.trainer.data.templates import as_passed, names, tokenizer_for
from trainer.contract.command.errors import BadData
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.lint import lint
from trainer.data.masks import IGNORED
from trainer.data.templates import freeze, learn_format
from trainer.data.turns import Part

QUESTION = {"role": "user", "content": "what is the mean of price?"}
FIRST = {"role": "assistant", "content": "print(df.head())"}
AGAIN = {"role": "user", "content": "and of year?"}
SECOND = {"role": "assistant", "content": "submit(12)"}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
THOUGHT = "the mean, then"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "run_code",
            "description": "runs code",
            "parameters": {"type": "object", "properties": {"code": {"type": "string"}}},
        },
    }
]
CALLED = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "run_code", "arguments": {"code": "df"}},
}
CALL = {"role": "assistant", "content": "", "tool_calls": [CALLED]}
RESULT = {"role": "tool", "content": "17", "tool_call_id": "call_7", "name": "run_code"}
# How each family ends an answer, from its published template and generation_config.json.
STOPS = {
    "mistral_v1": "</s>", "mistral_v3": "</s>", "phi3": "<|end|>", "solar": "</s>", "phi3_5": "<|end|>", "phi4_mini": "<|end|>",
    "glm4": "<|user|>", "glm4moe": "<|user|>", "gptoss": "<|return|>", "deepseek_v3": "<｜end▁of▁sentence｜>",
    "gemma": "<end_of_turn>", "gemma3": "<end_of_turn>", "gemma4_v5": "<turn|>", "gemma4_large": "<turn|>", "qwen3": "<|im_end|>",
    "llama2": " </s>", "llama3": "<|eot_id|>", "cohere2": "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", "granite": "<|end_of_text|>",
}  # fmt: skip
# These ask for thoughts, and remove or rewrite them in an answer without any.
ASK_FOR_THOUGHTS = {
    "deepseek_r1_distill", "deepseekv3", "nemotron_3_5_lightning", "nemotron_3_nano", "nemotron_3_super",
    "nemotron_3_ultra",
}  # fmt: skip


def format_of(name):
    tokenizer = tokenizer_for(name)
    freeze(tokenizer)
    return learn_format(tokenizer)


def encoded(folder, chat_format, messages, tools=None, **more):
    """(parts with their ids and labels, blocking findings) of one row, as training and the check see it."""
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({"messages": messages, "tools": tools} | more) + "\n")
    found: list = []

    def judge(part: Part, one):
        found.append((part, one))
        return lint(part, one, chat_format)

    faults: list[str] = []
    encode_rows(
        path, read_rows(path), chat_format, max_length=4096, overlong="error", judge=judge,
        found=lambda _, finding: faults.append(finding.text) if finding.blocks else None,
    )  # fmt: skip
    return found, faults


def asked(tokenizer, messages, tools=None, **options):
    """The token ids that inference sends for an answer after ``messages``."""
    text = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=True, **options
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def trained(ids, labels):
    """(tokens before it, its tokens) of each stretch in the loss."""
    starts = [n for n, label in enumerate(labels) if label != IGNORED and labels[n - 1] == IGNORED]
    for start in starts:
        end = next((n for n in range(start, len(labels)) if labels[n] == IGNORED), len(labels))
        yield ids[:start], ids[start:end]


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("name", [name for name in names() if name not in ASK_FOR_THOUGHTS])
def test_each_turn_is_trained_as_the_model_is_asked_for_it_and_answers(name, system, tmp_path):
    chat_format = format_of(name)
    tokenizer = chat_format.tokenizer
    chat = [SYSTEM, QUESTION, FIRST, AGAIN, SECOND][not system :]
    try:
        tokenizer.apply_chat_template(as_passed(name, chat[:2]))
    except Exception:  # noqa: BLE001 - Mistral v0.1 and Gemma have no system messages
        return
    parts, faults = encoded(tmp_path, chat_format, chat)
    assert faults == []
    passed = as_passed(name, chat)
    prompts = [asked(tokenizer, passed[:at]) for at in (len(chat) - 3, len(chat) - 1)]
    seen = [one for _, found in parts for one in trained(found.input_ids, found.labels)]
    seen.sort(key=lambda one: len(one[0]))
    assert [before for before, _ in seen] == prompts
    for (_, answer), message in zip(seen, (FIRST, SECOND), strict=True):
        text = tokenizer.decode(answer)
        assert text.endswith(message["content"] + STOPS[name]) if name in STOPS else True
        assert message["content"] in text
        assert answer[-1] in tokenizer.all_special_ids
        assert text.count(chat_format.stop) == 1


@pytest.mark.parametrize(
    "name", ["qwen2_5", "qwen3", "llama3_1", "mistral_v3", "glm4", "glm4moe", "gptoss"]
)
def test_tool_calls_are_trained_up_to_the_token_that_ends_them(name, tmp_path):
    """The ends are those of each family's generation_config.json."""
    ends = {"llama3_1": "<|eot_id|>", "mistral_v3": "</s>", "glm4": "<|observation|>",
            "glm4moe": "<|observation|>", "gptoss": "<|call|>"}  # fmt: skip
    chat_format = format_of(name)
    parts, faults = encoded(tmp_path, chat_format, [QUESTION, CALL, RESULT, SECOND], TOOLS)
    assert faults == []
    texts = [
        chat_format.tokenizer.decode(answer)
        for _, found in parts
        for _, answer in trained(found.input_ids, found.labels)
    ]
    call, answer = sorted(texts, key=lambda text: "run_code" not in text)
    assert call.endswith(ends.get(name, "<|im_end|>"))
    assert "submit(12)" in answer
    before, _ = next(iter(trained(parts[-1][1].input_ids, parts[-1][1].labels)))
    assert before == asked(chat_format.tokenizer, [QUESTION], TOOLS)


def test_deepseeks_calls_are_trained_and_its_lack_of_tools_is_named(tmp_path):
    """Its template reads arguments as text, and writes no tools."""
    chat = [QUESTION, CALL, RESULT, SECOND]
    parts, faults = encoded(tmp_path, format_of("deepseek_v3"), chat)
    assert faults == []
    ((part, _),) = parts
    assert '<｜tool▁sep｜>run_code\n```json\n{"code": "df"}\n```' in part.text
    _, faults = encoded(tmp_path, format_of("deepseek_v3"), chat, TOOLS)
    assert len(faults) == 1
    assert "the chat template writes no tools (run_code): remove 'tools'" in faults[0]


@pytest.mark.parametrize(
    "name", ["qwen3", "gptoss", "glm4moe", "gemma4_v5", "lfm2_2_5", "qwen3_5_think"]
)
@pytest.mark.parametrize(
    "written", ["reasoning", "reasoning_content", "thinking", "<think>", "</think>"]
)
def test_thoughts_are_trained_in_the_form_of_the_template_in_whatever_dialect(
    name, written, tmp_path
):
    chat_format = format_of(name)
    plain = {"role": "assistant", "content": "submit(12)"}
    turn = plain | {"content": f"<think>\n{THOUGHT}\n</think>\n\nsubmit(12)"}
    turn = turn if written == "<think>" else plain | {written: THOUGHT}
    if written == "</think>":  # after a prompt that begins the thoughts
        turn = plain | {"content": f"{THOUGHT}\n</think>\n\nsubmit(12)"}
    parts, faults = encoded(tmp_path, chat_format, [QUESTION, turn, AGAIN, turn])
    assert faults == []
    key = {"gptoss": "thinking"}.get(name, "reasoning_content")
    judged = chat_format.tokenizer.apply_chat_template(
        [QUESTION, plain | {key: THOUGHT}], tokenize=False
    )
    (short,) = [part for part, _ in parts if AGAIN["content"] not in part.text]
    assert short.text.startswith(judged)
    texts = [part.text[a:b] for part, _ in parts for a, b in part.spans]
    assert len(texts) == 2
    assert all(THOUGHT in text and "submit(12)" in text for text in texts)


@pytest.mark.parametrize("written", ["reasoning", "<think>"])
@pytest.mark.parametrize("name", ["deepseek_r1_distill", "deepseekv3"])
def test_thoughts_that_only_the_prompt_begins_are_trained_as_the_model_continues_it(
    name, written, tmp_path
):
    """The judge of the first turn is TRL's training template of DeepSeek-R1's distilled models."""
    text = f"<think>\n{THOUGHT}\n</think>\n\nsubmit(12)"
    plain = {"role": "assistant", "content": "submit(12)"}
    turn = plain | ({"content": text} if written == "<think>" else {"reasoning": THOUGHT})
    chat_format = format_of(name)
    parts, faults = encoded(tmp_path, chat_format, [QUESTION, turn, AGAIN, turn])
    assert faults == []
    tokenizer = chat_format.tokenizer
    seen = [one for _, found in parts for one in trained(found.input_ids, found.labels)]
    seen.sort(key=lambda one: len(one[0]))
    assert [before for before, _ in seen] == [
        asked(tokenizer, [QUESTION]),
        asked(tokenizer, [QUESTION, turn if written == "<think>" else plain, AGAIN]),
    ]
    judged = tokenizer.apply_chat_template(
        [QUESTION, plain | {"content": text}],
        tokenize=False,
        chat_template=shipped_template("deepseek_r1_distill_training"),
    )
    assert tokenizer.decode(seen[0][0] + seen[0][1]) == judged
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize("name", ["deepseek_r1_distill", "deepseekv3"])
def test_an_answer_without_thoughts_is_refused_where_the_prompt_begins_them(name, tmp_path):
    with pytest.raises(BadData) as caught:
        encoded(tmp_path, format_of(name), [QUESTION, FIRST])
    (fault,) = caught.value.faults
    assert "preceded by another text in training than at inference" in fault
    assert "give the answer thoughts as 'reasoning_content'" in fault


NEMOTRON = [name for name in names() if name.startswith("nemotron")]


@pytest.mark.parametrize(
    ("name", "thinks"),
    [*((name, False) for name in NEMOTRON), ("gemma4_large", True), ("qwen3_5_nothink", True)],
)
def test_a_template_is_told_whether_answers_have_thoughts_if_they_do_not_continue_its_prompt(
    name, thinks, tmp_path
):
    """The judge renders with ``enable_thinking``, as a user does who asks a model with or without thoughts."""
    chat_format = format_of(name)
    answer = FIRST | ({"reasoning_content": THOUGHT} if thinks else {})
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [QUESTION, answer]}) + "\n")
    said: list = []
    examples = encode_rows(
        path, read_rows(path), chat_format, max_length=4096, overlong="error",
        found=lambda _, finding: said.append(finding),
    )  # fmt: skip
    ((before, tokens),) = trained(examples.rows([0])[0], [*examples.labels])
    assert before == asked(chat_format.tokenizer, [QUESTION], enable_thinking=thinks)
    judged = chat_format.tokenizer.apply_chat_template(
        [QUESTION, answer], tokenize=False, enable_thinking=thinks
    )
    assert judged.startswith(chat_format.tokenizer.decode(before + tokens))
    assert (THOUGHT in judged) == thinks
    (note,) = said
    assert not note.blocks
    assert f"use enable_thinking={str(thinks).lower()} at inference too" in note.text


def test_ids_of_calls_are_shortened_alike_for_mistral(tmp_path):
    second = CALLED | {"id": "call_8"}
    chat = [
        QUESTION, CALL | {"tool_calls": [CALLED, second]}, RESULT,
        RESULT | {"tool_call_id": "call_8", "content": "18"}, SECOND,
    ]  # fmt: skip
    ((part, _),), faults = encoded(tmp_path, format_of("mistral_v3"), chat, TOOLS)
    assert faults == []
    called, _, results = part.text.partition("</s>")
    ids = [piece.split('"')[0] for piece in called.split('"id": "')[1:]]
    answered = [piece.split('"')[0] for piece in results.split('"call_id": "')[1:]]
    assert ids == answered
    assert len({*ids}) == 2
    assert all(len(one) == 9 and one.isalnum() for one in ids)


def test_the_pad_token_of_deepseek_is_found():
    from trainer.pretrained import choose_pad

    tokenizer = tokenizer_for("deepseek_v3")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<｜▁pad▁｜>"]})
    tokenizer.pad_token = tokenizer.eos_token
    choose_pad(tokenizer, tokenizer.eos_token_id)
    assert tokenizer.pad_token in {"<｜▁pad▁｜>", "<pad>"}
