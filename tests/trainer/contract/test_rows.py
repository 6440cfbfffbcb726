import hashlib
import json
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract import rows
from trainer.contract.command.errors import BadData, NotFound, report
from trainer.contract.rows import read_rows

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
GOOD = {"messages": [USER, ANSWER]}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


@pytest.fixture
def write(tmp_path):
    def write(*lines, raw=None):
        path = tmp_path / "rows.jsonl"
        text = "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        path.write_bytes(text.encode() if raw is None else raw)
        return path

    return write


def messages_of(path):
    return read_rows(path).rows[0].messages


def faults_of(path):
    with pytest.raises(BadData) as caught:
        read_rows(path)
    assert "Traceback" not in report(caught.value)
    return caught.value.faults or (caught.value.cause,)


texts = st.text(st.characters(codec="utf-8"))
turns = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "tool"]), "content": texts}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": texts.map("a".__add__)},
        optional={"weight": st.sampled_from([0, 1])},
    ),
)


@given(chats=st.lists(st.lists(turns, max_size=5), min_size=1, max_size=5), crlf=st.booleans())
def test_openai_chats_come_back_as_they_were(tmp_path_factory, chats, crlf):
    chats = [[*chat, ANSWER] for chat in chats]
    end = "\r\n" if crlf else "\n"
    data = "".join(json.dumps({"messages": chat}) + end for chat in chats).encode()
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(data)
    found = read_rows(path)
    assert [row.messages for row in found.rows] == chats
    assert [row.line for row in found.rows] == list(range(1, len(chats) + 1))
    assert found.sha256 == hashlib.sha256(data).hexdigest()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "role",
                    "content",
                    "tool_calls",
                    "weight",
                    "type",
                    "text",
                    "from",
                    "value",
                    "function",
                    "prompt",
                    "completion",
                    "tools",
                    "conversations",
                    *("system", "instruction", "input", "output", "query", "response", "history"),
                    *("chat_template_kwargs", "episode", "loss", "train", "reasoning", "thinking"),
                    *("mask", "images", "name", "arguments", "naem"),
                ]
            ),
            inner
            | st.sampled_from(["user", "assistant", "text", "function_call", "human", "[]", "{}"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=values)
def test_any_json_is_a_row_or_a_fault_with_its_line(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("\n" + json.dumps(value) + "\n")
    faults: Sequence[str] = ()
    try:
        found = read_rows(path).rows[0].messages
    except BadData as fault:
        found = []
        faults = fault.faults
    assert any(m["role"] == "assistant" for m in found) == (not faults)
    assert all(f.startswith(f"{path}:2: ") and f.count(": ") >= 2 for f in faults)


@given(data=st.binary())
def test_any_bytes_are_rows_or_a_fault(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(BadData):
        read_rows(path)


def test_developer_is_system_and_text_parts_are_joined(write):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    path = write({"messages": [{"role": "developer", "content": parts}, ANSWER]})
    assert messages_of(path) == [{"role": "system", "content": "ab"}, ANSWER]


def test_null_content_is_fine_with_tool_calls(write):
    turn = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None}
    tools = [{"type": "function", "function": {"name": "f"}}]
    path = write({"messages": [USER, turn], "tools": tools})
    row = read_rows(path).rows[0]
    assert row.tools == tools
    assert row.messages[1]["content"] == ""
    assert row.messages[1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}


def test_prompt_and_completion(write):
    path = write({"prompt": "q", "completion": "a"})
    assert messages_of(path) == [USER, ANSWER]
    path = write({"prompt": [USER, ANSWER, USER], "completion": [ANSWER]})
    assert messages_of(path) == [USER, ANSWER | {"weight": 0}, USER, ANSWER]


def test_from_and_value(write):
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert messages_of(write({"conversations": chat})) == [USER, ANSWER]


def test_marks_line_ends_blank_lines_and_other_keys_do_no_harm(write):
    line = json.dumps(GOOD | {"id": 3}).encode()
    path = write(raw=b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line)
    assert [row.line for row in read_rows(path).rows] == [1, 4]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "not JSON"),
        ("plain words", "not JSON"),
        ("3", "a number, not an object"),
        ('"x"', "text, not an object"),
        ("null", "null, not an object"),
        ('{"x":' * 200_000, "nested too deeply"),
        ("9" * 5000, "not usable as JSON"),
        ('{"messages": NaN}', "NaN is not JSON"),
        ('{"x": -Infinity}', "-Infinity is not JSON"),
        ('{"messages": [], "messages": []}', "the key 'messages' occurs twice"),
        ('{"messages": [{"role": "user", "role": "user"}]}', "the key 'role' occurs twice"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
        ({}, "no 'messages' (found nothing)"),
        ({"id": 1, "body": 2}, "no 'messages' (found body, id)"),
        ({"message": []}, "rename 'message'"),
        ({"messages": None}, "'messages' is null"),
        ({"messages": []}, "'messages' is empty"),
        ({"messages": ["x"]}, "message 1: text, not an object"),
        ({"messages": [USER]}, "no assistant turn"),
        ({"messages": [USER, ANSWER | {"weight": 0}]}, "every assistant turn has weight 0"),
        ({"messages": [USER, ANSWER | {"weight": 0.5}]}, "message 2: weight is 0.5"),
        ({"messages": [USER, ANSWER | {"weight": True}]}, "weight is True"),
        ({"messages": [USER, ANSWER | {"wieght": 0}]}, "did you mean 'weight'?"),
        ({"messages": [USER | {"weight": 0}, ANSWER]}, "'weight' on a user message"),
        ({"messages": [{"role": "robot", "content": "x"}, ANSWER]}, "unknown role 'robot'"),
        ({"messages": [{"role": "human", "content": "x"}, ANSWER]}, "unknown role 'human'"),
        ({"messages": [{"role": ["user"], "content": "x"}, ANSWER]}, "unknown role"),
        ({"messages": [{"content": "x"}, ANSWER]}, "no role"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "null without tool calls"),
        ({"messages": [USER, {"role": "assistant"}]}, "null without tool calls"),
        ({"messages": [{"role": "user", "content": None}, ANSWER]}, "null without tool calls"),
        ({"messages": [{"role": "user", "content": 3}, ANSWER]}, "'content' is a number"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "not text"),
        ({"messages": [{"role": "user", "content": [3]}, ANSWER]}, "not text (a number)"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}, ANSWER]}, "not text"),
        ({"messages": [USER, ANSWER | {"refusal": "no"}]}, "'refusal' is not text"),
        ({"messages": [USER, ANSWER | {"function_call": {"name": "f"}}]}, "as 'tool_calls'"),
        ({"messages": [USER, ANSWER | {"tool_calls": 3}]}, "'tool_calls' is a number"),
        ({"messages": [USER, ANSWER | {"tool_calls": [3]}]}, "without 'function'"),
        ({"messages": [USER, ANSWER | {"tool_calls": [{"function": {}}]}]}, "without a function n"),
        (
            {"messages": [USER, ANSWER | {"tool_calls": [{"function": {"name": "f", "arguments": "["}}]}]},
            "arguments are not a JSON object",
        ),
        ({"messages": [USER, ANSWER], "tools": "f"}, "'tools' is text that is not JSON"),
        ({"messages": [USER, ANSWER], "tools": 3}, "'tools' is not a list"),
        ({"messages": [USER, ANSWER], "tools": [{}]}, "a tool without a function name"),
        ({"text": "q a"}, "'text' row does not show"),
        ({"input_ids": [1]}, "'input_ids' row does not show"),
        ({"prompt": 3, "completion": "a"}, "a number as prompt"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_line(write, row, words):
    path = write(GOOD, row, GOOD)
    (fault,) = faults_of(path)
    assert fault.startswith(f"{path}:2: ")
    assert words in fault
    assert len(fault) < 400


def test_latin_1_is_refused_with_its_line(write):
    line = json.dumps(GOOD).encode()
    raw = line + b"\n" + line.replace(b'"q"', b'"caf\xe9"') + b"\n"
    path = write(raw=raw)
    (fault,) = faults_of(path)
    assert fault == (
        f"{path}:2: not UTF-8 (byte 0xe9 at column {raw.splitlines()[1].index(0xE9) + 1}): "
        "save the file as UTF-8"
    )


def test_all_faults_of_a_file_in_one_pass(write):
    bad = {"messages": [{"role": "x", "content": "a"}, {"role": "assistant"}]}
    faults = faults_of(write(*([GOOD, bad] * 30)))
    assert len(faults) == 2
    assert all(fault.endswith("(30 faults; lines 2, 4, 6, 8, 10, ...)") for fault in faults)


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\n"])
def test_an_empty_file(write, raw):
    assert "empty" in faults_of(write(raw=raw))[0]


@pytest.mark.parametrize("raw", [b"[]", b'[\n{"messages": []}\n]\n'])
def test_a_json_array_is_named_as_such(write, raw):
    assert "a JSON array, not JSON lines" in faults_of(write(raw=raw))[0]


def test_one_gigantic_row_is_refused_and_the_rest_still_read(write, monkeypatch):
    monkeypatch.setattr(rows, "LARGEST_ROW", 1000)
    monkeypatch.setattr(rows, "SKIP_BLOCK", 64)
    giant = {"messages": [USER, {"role": "assistant", "content": "x" * 5000}]}
    path = write(GOOD, giant, GOOD, {"text": "x"})
    first, second = faults_of(path)
    assert first.startswith(f"{path}:2: the row is larger")
    assert second.startswith(f"{path}:4: ")
    exact = json.dumps(GOOD).ljust(999) + "\n"
    assert len(exact) == 1000
    assert len(read_rows(write(raw=exact.encode())).rows) == 1
    assert faults_of(write(raw=b" " * 1000 + b"\n"))


def test_the_hash_covers_a_skipped_row(write, monkeypatch):
    monkeypatch.setattr(rows, "LARGEST_ROW", 1000)
    monkeypatch.setattr(rows, "SKIP_BLOCK", 64)
    digest = hashlib.sha256()
    path = write("x" * 5000, GOOD)
    with path.open("rb") as file:
        assert len(list(rows._lines(file, digest))) == 2
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_no_file(tmp_path):
    with pytest.raises(NotFound, match="does not exist"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(BadData, match="is a folder"):
        read_rows(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadData, match="not a regular file"):
        read_rows(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadData, match="cannot be read"):
        read_rows(tmp_path / "file" / "below")
