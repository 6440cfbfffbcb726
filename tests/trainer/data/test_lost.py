"""What the row says and the template does not write is found; transformers' rendering is the judge of "written"."""

import json

import pytest

from tests.trainer.data.test_turns import (
    AGAIN,
    CALL,
    CALLED,
    FIRST,
    QUESTION,
    RESULT,
    SECOND,
    SYSTEM,
    TOOLS,
    encoded,
    format_of,
)
from trainer.contract.rows import Row
from trainer.data import lost
from trainer.data.templates import learn_format
from trainer.data.turns import parts

PHI3_MINI = (  # of April 2024: system messages were left out
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '<|user|>\n' + m.content + '<|end|>\n<|assistant|>\n' }}{% elif m.role == 'assistant' %}"
    "{{ m.content + '<|end|>\n' }}{% endif %}{% endfor %}"
)


def faults_of(folder, name, messages, tools=None, **more):
    return encoded(folder, format_of(name), messages, tools, **more)[1]


@pytest.mark.parametrize("name", ["gemma3", "llama3", "granite", "phi3"])
def test_tools_that_no_template_line_writes_are_refused(name, tmp_path):
    (fault,) = faults_of(tmp_path, name, [QUESTION, FIRST], TOOLS)
    assert fault.startswith("the chat template writes no tools (run_code): remove 'tools'")


def test_tools_that_a_template_writes_only_in_a_system_message_are_written_there(tmp_path):
    """The system message of Phi-4-mini's model card, whose tools are JSON text of the functions."""
    (fault,) = faults_of(tmp_path, "phi4_mini", [QUESTION, FIRST], TOOLS)
    assert fault.endswith("add a system message: this template writes tools only inside one")
    card = SYSTEM | {"tools": json.dumps([tool["function"] for tool in TOOLS])}
    chat_format = format_of("phi4_mini")
    judged = chat_format.tokenizer.apply_chat_template([card, QUESTION], tokenize=False)
    judged = judged.removesuffix(chat_format.tokenizer.eos_token)
    for system, tools in ((SYSTEM, TOOLS), (card, None)):
        ((part, _),), faults = encoded(tmp_path, chat_format, [system, QUESTION, FIRST], tools)
        assert faults == []
        assert '<|tool|>[{"name": "run_code"' in judged
        assert part.text.startswith(judged)


@pytest.mark.parametrize("name", ["run_code", "end", "eot_id", "assistant"])
@pytest.mark.parametrize("family", ["llama3", "phi3", "phi4_mini", "granite"])
def test_a_call_that_is_not_written_is_refused_whatever_its_name(family, name, tmp_path):
    call = CALL | {"tool_calls": [{"function": {"name": name, "arguments": {}}}]}
    (fault,) = faults_of(tmp_path, family, [QUESTION, call])
    assert f"message 2: the chat template leaves out the tool call '{name}'" in fault
    assert "write the call as text in 'content'" in fault


def test_a_second_call_that_is_not_written_is_refused(tmp_path):
    """gpt-oss writes the first call of a message only."""
    other = {"id": "2", "type": "function", "function": {"name": "plot", "arguments": {}}}
    call = CALL | {"tool_calls": [CALLED, other]}
    faults = faults_of(tmp_path, "gptoss", [QUESTION, call], TOOLS)
    assert any("leaves out the tool call 'plot'" in fault for fault in faults)


@pytest.mark.parametrize(
    "arguments",
    [
        {"code": "x = 'é' + \"ü\"\n\tprint(x)"},
        {"n": 3, "share": 0.5, "yes": True, "none": None},
        {"deep": {"list": ["a", {"b": "c"}]}},
    ],
)
@pytest.mark.parametrize(
    "name", ["qwen2_5", "qwen3", "llama3_1", "glm4moe", "gptoss", "mistral_v3"]
)
def test_arguments_are_found_in_the_form_of_the_template(name, arguments, tmp_path):
    call = CALL | {
        "tool_calls": [CALLED | {"function": {"name": "run_code", "arguments": arguments}}]
    }
    assert faults_of(tmp_path, name, [QUESTION, call, RESULT, SECOND], TOOLS) == []


def test_arguments_that_are_left_out_are_refused(tmp_path):
    chat_format = format_of("qwen2_5")
    template = chat_format.tokenizer.chat_template
    cut = template.replace("tool_call.arguments | tojson", "'{}'")
    assert cut != template
    chat_format.tokenizer.chat_template = cut
    _, faults = encoded(tmp_path, chat_format, [QUESTION, CALL, RESULT, SECOND], TOOLS)
    assert any("leaves out 'code' of the tool call 'run_code'" in fault for fault in faults)


def test_a_system_message_that_is_not_written_is_refused(tmp_path):
    chat_format = format_of("phi3")
    chat_format.tokenizer.chat_template = PHI3_MINI
    _, faults = encoded(tmp_path, chat_format, [SYSTEM, QUESTION, FIRST])
    (fault,) = faults
    assert fault.startswith(
        "message 1: the chat template leaves out 'You are a helpful assistant.'"
    )
    assert "write it at the start of the first user message, or take a base whose template" in fault


def test_a_user_message_that_is_not_written_is_refused(tmp_path):
    chat_format = format_of("granite")
    skips = "{% for m in messages if m.content != 'skip' %}"
    chat_format.tokenizer.chat_template = chat_format.tokenizer.chat_template.replace(
        "{% for m in messages %}", skips
    )
    chat = [QUESTION, FIRST, {"role": "user", "content": "skip"}, SECOND]
    _, faults = encoded(tmp_path, chat_format, chat)
    assert len(faults) == 1
    assert "message 3: the chat template leaves out 'skip'" in faults[0]


def test_context_may_lose_its_thoughts_as_at_inference(tmp_path):
    thought = {"role": "assistant", "content": "<think>hm</think>a", "weight": 0}
    assert faults_of(tmp_path, "qwen3", [QUESTION, thought, AGAIN, SECOND]) == []


def test_thoughts_that_the_template_removes_are_refused(tmp_path):
    turn = {"role": "assistant", "content": "<think>the mean</think>a"}
    (fault,) = faults_of(tmp_path, "deepseek_v3", [QUESTION, turn])
    assert "leaves out 'the mean': remove it, or take a base whose template keeps thoughts" in fault


def test_text_beside_a_call_is_refused_if_it_is_trained_and_reported_if_it_is_context(tmp_path):
    """Llama 3.1 writes the call of a message, and not its text."""
    call = CALL | {"content": "I run it first."}
    (fault,) = faults_of(tmp_path, "llama3_1", [QUESTION, call, RESULT, SECOND], TOOLS)
    assert "message 2: the chat template leaves out 'I run it first.'" in fault
    context = call | {"weight": 0}
    assert faults_of(tmp_path, "llama3_1", [QUESTION, context, RESULT, SECOND], TOOLS) == []
    chat_format = format_of("llama3_1")
    (part,) = parts(chat_format, Row([QUESTION, context, RESULT, SECOND], TOOLS, 1), "auto")
    ((text, blocks),) = lost.lost(part, chat_format)
    assert ("leaves out 'I run it first.'" in text, blocks) == (True, False)


def warnings_of(name, messages, template=None):
    chat_format = format_of(name)
    found = parts(chat_format, Row(messages, None, 1, template or {}), "auto")
    return [text for part in found for text in lost.warnings(part, chat_format)]


def test_blank_ends_that_the_template_removes_are_reported():
    indented = {"role": "assistant", "content": "  x = 1\n"}
    (text,) = warnings_of("llama3", [QUESTION, indented])
    assert text.startswith("message 2: the chat template removes blank characters")
    assert warnings_of("granite", [QUESTION, indented]) == []
    assert warnings_of("llama3", [QUESTION, FIRST]) == []


def test_a_template_argument_counts_as_at_inference(tmp_path):
    """`enable_thinking: false` puts empty thoughts into the prompt of Qwen3, so no answer has them."""
    off = {"enable_thinking": False}
    ((part, _),), faults = encoded(
        tmp_path, format_of("qwen3"), [QUESTION, FIRST], chat_template_kwargs=off
    )
    assert faults == []
    ((start, end),) = part.spans
    assert part.text[start:end] == "print(df.head())<|im_end|>"
    asked = format_of("qwen3").tokenizer.apply_chat_template(
        [QUESTION], tokenize=False, add_generation_prompt=True, **off
    )
    assert part.text[:start] == asked
    assert warnings_of("qwen3", [QUESTION, FIRST], off) == []
    (text,) = warnings_of("llama3", [QUESTION, FIRST], off)
    assert "'enable_thinking' changes nothing" in text


def test_a_name_that_the_template_does_not_write_is_a_warning(tmp_path):
    """transformers' rendering of Qwen2.5's template has no name; that of a template with names has."""
    chat_format = format_of("qwen2_5")
    asks = QUESTION | {"name": "Alice"}
    ((part, _),), faults = encoded(tmp_path, chat_format, [asks, FIRST])
    assert faults == []
    assert [*lost.warnings(part, chat_format)] == [
        "message 1: the chat template leaves out the name 'Alice': write it in 'content'"
    ]
    tokenizer = chat_format.tokenizer
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message.content", "(message.name or '') + message.content"
    )
    named = learn_format(tokenizer)
    assert "Alice" in tokenizer.apply_chat_template([asks], tokenize=False)
    ((part, _),), _ = encoded(tmp_path, named, [asks, FIRST])
    assert [*lost.warnings(part, named)] == []
