"""Rows of every format that people have: what OpenAI, TRL and others mean by a key is what is read."""

import gzip
import json
import shlex
import subprocess
import sys

import pandas as pd
import pytest
from trl.data_utils import is_conversational, maybe_convert_to_chatml

from trainer.contract.command.errors import BadData
from trainer.contract.rows import read_rows

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}

CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL | {"id": "1"}]}
RESULT = {"role": "tool", "content": "7", "tool_call_id": "1"}


@pytest.fixture
def read(tmp_path):
    def read(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_rows(path)

    return read


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
         [SYSTEM, USER, ANSWER]),
        ({"messages": [USER, ANSWER], "system": "s"}, [SYSTEM, USER, ANSWER]),
        ({"messages": [SYSTEM, USER, ANSWER], "system": "s"}, [SYSTEM, USER, ANSWER]),
        ({"messages": [USER, ANSWER], "system": ""}, [USER, ANSWER]),
        ({"instruction": "q", "input": "", "output": "a"}, [USER, ANSWER]),
        ({"instruction": "q", "input": "i", "output": "a", "system": "s"},
         [SYSTEM, {"role": "user", "content": "q\ni"}, ANSWER]),
        ({"query": "q", "response": "a", "history": [["q", "a"]]}, [USER, ANSWER, USER, ANSWER]),
        ({"prompt": [USER], "response": "a"}, [USER, ANSWER]),
        ({"conversations": [{"from": "human", "value": "q"},
                            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                            {"from": "observation", "value": "1"}, {"from": "gpt", "value": "a"}]},
         [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "1"},
          ANSWER]),
        ({"messages": [USER | {"tool_calls": []}, ANSWER | {"tool_calls": []}]}, [USER, ANSWER]),
        ({"messages": [USER | {"loss": False}, ANSWER | {"loss": False}, USER, ANSWER | {"loss": True}]},
         [USER, ANSWER | {"weight": 0}, USER, ANSWER | {"weight": 1}]),
        ({"messages": [USER | {"train": False}, ANSWER | {"train": False}, USER, ANSWER]},
         [USER, ANSWER | {"weight": 0}, USER, ANSWER]),
        ({"messages": [USER, ANSWER | {"training": False}, USER, ANSWER]},
         [USER, ANSWER | {"weight": 0}, USER, ANSWER]),
        ({"messages": [USER, ANSWER | {"reasoning": "r"}]}, [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, ANSWER | {"thinking": "r", "reasoning_content": "r", "reasoning": None}]},
         [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "r"},
                                                               {"type": "text", "text": "a"}]}]},
         [USER, ANSWER | {"reasoning_content": "r"}]),
        # Mistral's, and OpenRouter's
        ({"messages": [USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}]}]},
         [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, ANSWER | {"reasoning_details": [{"type": "reasoning.text", "text": "r"}]}]},
         [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, {"role": "assistant", "content": "<think>\nr\n</think>\n\na", "reasoning": "r"}]},
         [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, ANSWER | {"reasoning": " \n"}]}, [USER, ANSWER]),
        ({"messages": [USER, ANSWER | {"content": "r\n</think>\n\na"}]}, [USER, ANSWER | {"reasoning_content": "r"}]),
        ({"messages": [USER, ANSWER | {"content": "</think>\n\na"}]}, [USER, ANSWER]),
        ({"messages": [USER, ANSWER | {"content": "a </think> ends it"}]}, [USER, ANSWER | {"content": "a </think> ends it"}]),
        ({"messages": [USER, ANSWER | {"channel": "final", "recipient": "all", "prefix": False}]}, [USER, ANSWER]),
        ({"messages": json.dumps([USER, ANSWER])}, [USER, ANSWER]),
        ({"messages": [USER, ANSWER], "system_prompt": None, "kto_tag": None}, [USER, ANSWER]),
    ],
)  # fmt: skip
def test_each_format_is_read_with_its_meaning(read, row, messages):
    found = read(row)
    assert found.rows[0].messages == messages
    assert found.notes == ()


def test_sharegpt_is_read_like_trl_reads_it(read):
    chat = [{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]
    judged = maybe_convert_to_chatml({"conversations": [dict(turn) for turn in chat]})
    assert is_conversational(judged)
    assert read({"conversations": chat}).rows[0].messages == judged["messages"]


@pytest.mark.parametrize("tools", [
    [TOOL], json.dumps([TOOL]), [TOOL["function"]], [{"name": "f", "input_schema": {}}],
    [{"name": "f", "inputSchema": {}}],
])  # fmt: skip
def test_tools_are_objects_or_json_text(read, tools):
    assert read({"messages": [USER, ANSWER], "tools": tools}).rows[0].tools == [TOOL]


@pytest.mark.parametrize("key", ["enable_thinking", "reasoning_effort"])
def test_a_template_argument_may_have_a_key_of_its_own(read, key):
    (row,) = read({"messages": [USER, ANSWER], key: "low", "chat_template_kwargs": {"a": 1}}).rows
    assert row.template == {"a": 1, key: "low"}


def test_tools_of_a_system_message_are_the_tools_of_the_row(read):
    """As in the system message of Phi-4-mini's model card."""
    system = SYSTEM | {"tools": json.dumps([TOOL["function"]])}
    (row,) = read({"messages": [system, USER, ANSWER]}).rows
    assert row.tools == [TOOL]
    assert row.messages == [SYSTEM, USER, ANSWER]


@pytest.mark.parametrize("tools", [None, "", "[]", []])
def test_no_tools_are_no_tools(read, tools):
    assert read({"messages": [USER, ANSWER], "tools": tools}).rows[0].tools is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": [SYSTEM, USER, ANSWER], "system": "t"}, "'system' and a system message: keep one"),
        *(({"messages": [USER, ANSWER | {key: value}]}, "'weight': 0 (context only) or 1 (trained)")
          for key, value in (("masked", True), ("mask", 1), ("loss_mask", 0), ("loss_weight", 0.5),
                             ("wieght", 0), ("trainable", False), ("label", 0), ("train_detail", []))),
        ({"messages": [USER, ANSWER | {"loss": 0.5}]}, "'loss' is 0.5: write true or false"),
        ({"messages": [USER | {"train": True}, ANSWER]}, "'train' is true on a user message"),
        ({"messages": [USER, ANSWER | {"weight": 1, "loss": False}]}, "contradict each other"),
        ({"messages": [USER, ANSWER | {"reasoning": "r", "thinking": "t"}]}, "two different thoughts"),
        ({"messages": [USER | {"reasoning": "r"}, ANSWER]}, "thoughts on a user message"),
        ({"messages": [USER | {"tools": [TOOL]}, ANSWER]}, "'tools' on a user message: only system"),
        ({"messages": [SYSTEM | {"tools": [TOOL]}, USER, ANSWER], "tools": [{"name": "f"}]}, "two different lists"),
        ({"messages": [USER, ANSWER], "loss_mask": [0, 1]}, "row key 'loss_mask' is not read"),
        ({"messages": [USER, ANSWER], "images": ["a.png"]}, "'images' is not text"),
        *(({"messages": [USER, ANSWER | {key: True}]}, "'weight': 0 (context only) or 1 (trained)")
          for key in ("exclude", "include", "hidden", "context_only", "requires_grad", "is_target")),
        *(({"messages": [USER, ANSWER | {key: "hm"}]}, "write thoughts as 'reasoning_content'")
          for key in ("thoughts", "thinking_content", "reasoning_text", "cot", "chain_of_thought")),
        *(({"messages": [USER, ANSWER | {key: True}]}, "marks an answer that is not whole")
          for key in ("prefix", "partial")),
        ({"messages": [USER, ANSWER | {"channel": "analysis"}, ANSWER]}, "a part of an answer in gpt-oss's form"),
        ({"messages": [USER, ANSWER], "sample_weight": 0.5}, "row key 'sample_weight' is not read"),
        ({"messages": [USER, ANSWER], "system_prompt": "Be brief."}, "rename it to 'system'"),
        ({"messages": [USER, ANSWER], "rejected_messages": [USER, ANSWER]}, "preference pair"),
        ({"prompt": "q", "completion": "a", "label": False}, "marks an unwanted answer (KTO)"),
        ({"messages": [USER, ANSWER], "kto_tag": False}, "marks an unwanted answer (KTO)"),
        ({"messages": [USER, ANSWER], "chat_template_kwargs": {"enable_thinking": True}, "enable_thinking": False},
         "is not the one in 'chat_template_kwargs'"),
        ({"messages": [USER, {"role": "assistant", "content": "<think>r</think>4", "reasoning": "s"}]}, "two different thoughts"),
        ({"messages": [USER, {"role": "assistant", "content": "<think>r</think>\n"}]}, "an empty answer"),
        ({"messages": [USER, {"role": "assistant", "content": "<think>r and then"}]}, "thoughts that never end"),
        ({"messages": [USER, ANSWER], "conversations": [USER]}, "keep one of them"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference pair: write 'completion'"),
        ({"messages": [USER, ANSWER], "functions": [{}]}, "'functions' is the old form: write 'tools'"),
        ({"messages": [USER, ANSWER], "chat_template_kwargs": {"tools": []}}, "the trainer sets it"),
        *(({"messages": [USER, {"role": "assistant", "content": text}]}, "an empty answer")
          for text in ("", " ", "\n\t")),
        ({"messages": [USER, {"role": "assistant", "content": "", "reasoning": "r"}]}, "an empty answer"),
        ({"messages": [{"role": "r" * 10**6, "content": "x"}, ANSWER]}, "unknown role 'rrrr"),
    ],
)  # fmt: skip
def test_what_would_train_something_else_is_refused(read, row, words):
    with pytest.raises(BadData) as caught:
        read(row)
    (fault, *_) = caught.value.faults
    assert words in fault
    assert len(fault) < 450


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"messages": [USER | {"naem": "Ann"}, ANSWER]}, "'naem' is ignored: did you mean 'name'?"),
        ({"messages": [USER, ANSWER | {"tool_call": []}]}, "'tool_call' is ignored: did you mean 'tool_calls'?"),
        ({"messages": [USER, ANSWER | {"end_turn": True}]}, "unknown message key 'end_turn' is ignored"),
        ({"messages": [USER, ANSWER], "available_tools": [TOOL]}, "did you mean 'tools'?"),
        ({"messages": [USER, CALLING, RESULT | {"tool_call_id": "2"}, ANSWER]}, "names another call"),
        ({"messages": [USER, CALLING, RESULT, ANSWER], "tools": [{"name": "g"}]}, "'tools' does not list"),
        ({"messages": [USER, ANSWER], "tool": []}, "'tool' is ignored: did you mean 'tools'?"),
        ({"messages": [USER, ANSWER], "source": "x"}, "row key 'source' is ignored: what the model must see"),
        ({"messages": [ANSWER]}, "begins with an answer"),
        ({"messages": [SYSTEM, ANSWER, USER, ANSWER]}, "begins with an answer"),
        ({"messages": [{"role": "tool", "content": "1"}, USER, ANSWER]}, "a tool result follows no tool call"),
        ({"messages": [USER, ANSWER, {"role": "tool", "content": "1"}, ANSWER]}, "follows no tool call"),
        ({"messages": [{"role": "user", "content": " "}, ANSWER]}, "a user message is empty"),
    ],
)  # fmt: skip
def test_what_is_ignored_or_unusual_is_reported_once(read, row, words):
    found = read(*[row] * 7)
    (note,) = found.notes
    assert words in note
    assert note.endswith("(7 times; lines 1, 2, 3, 4, 5, ...)")


def test_results_of_several_calls_follow_their_calls(read):
    calls = {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}
    result = {"role": "tool", "content": "1"}
    assert read({"messages": [USER, calls, result, result, ANSWER]}).notes == ()


def test_a_table_is_one_message(tmp_path):
    path = tmp_path / "houses.csv"
    path.write_text("city,price\n" + "Bonn,3\n" * 62)
    with pytest.raises(BadData) as caught:
        read_rows(path)
    assert caught.value.faults == ()
    assert str(caught.value) == (
        f"{path} is a table, not rows of chat: make rows from it: datagen episodes {path}"
    )


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda text: text.encode("utf-16"), "is UTF-16, not JSON lines: save it as UTF-8"),
        (lambda text: gzip.compress(text.encode()), "is compressed, not JSON lines: unpack it: gunzip"),
        (lambda _: b"PK\x03\x04" + b"\n" * 9, "is a workbook or an archive, not JSON lines"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 1000])
def test_a_file_that_is_no_text_is_named_by_what_it_is(encode, words, count, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(encode((json.dumps({"messages": [USER, ANSWER]}) + "\n") * count))
    with pytest.raises(BadData) as caught:
        read_rows(path)
    assert words in str(caught.value)
    assert caught.value.faults == ()


def test_the_command_for_a_parquet_file_writes_rows(tmp_path, monkeypatch):
    path = tmp_path / "chats.parquet"
    pd.DataFrame({"messages": [[USER, ANSWER]]}).to_parquet(path)
    with pytest.raises(BadData, match="is a Parquet file") as caught:
        read_rows(path)
    monkeypatch.chdir(tmp_path)
    _, _, code = shlex.split(caught.value.hint.partition(": ")[2])
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_rows(tmp_path / "rows.jsonl").rows[0].messages == [USER, ANSWER]


def test_joined_files_may_have_a_byte_order_mark_each(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text((json.dumps({"messages": [USER, ANSWER]}) + "\n") * 2, "utf-8")
    path.write_bytes(
        b"".join(b"\xef\xbb\xbf" + line for line in path.read_bytes().splitlines(True))
    )
    assert len(read_rows(path).rows) == 2


def test_text_that_is_not_json_lines_is_one_message(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("city,price\n" + "Bonn,3\n" * 62)
    with pytest.raises(BadData, match="is not JSON lines: line 1 is 'city,price'") as caught:
        read_rows(path)
    assert len(caught.value.faults) == 1


def test_rows_have_their_template_arguments_and_their_origin(read):
    row = {
        "messages": [USER, ANSWER],
        "chat_template_kwargs": {"enable_thinking": False, "x": None},
    }
    assert read(row).rows[0].template == {"enable_thinking": False}
    assert not read(row).rows[0].episode
    assert read(row | {"episode": "e1"}).rows[0].episode
