"""Tokens before a run, without torch: transformers' rendering and the trainer's own rows are the judges."""

import json
from typing import Any

import pytest

from launcher.quote.chat_template import ChatTemplate, open_template
from launcher.quote.row_lengths import EXACT, ROUGH, lengths
from tests.trainer.data.templates import as_passed, names, tokenizer_for
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
)
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.masks import IGNORED
from trainer.data.templates import freeze, learn_format

CHATS: list[tuple[list[dict], Any]] = [
    ([QUESTION, FIRST], None),
    ([SYSTEM, QUESTION, FIRST, AGAIN, SECOND], None),
    ([QUESTION, CALL, RESULT, SECOND], TOOLS),
]


@pytest.mark.parametrize("name", names())
def test_chats_are_rendered_like_transformers_renders_them(name, tmp_path):
    tokenizer = tokenizer_for(name)
    tokenizer.save_pretrained(tmp_path)
    freeze(tokenizer)
    template = ChatTemplate(tmp_path)
    for messages, tools in CHATS:
        for prompt in (False, True):
            try:
                judged = tokenizer.apply_chat_template(
                    as_passed(name, messages),
                    tools=tools,
                    tokenize=False,
                    add_generation_prompt=prompt,
                )
            except Exception:  # noqa: BLE001 - refused there, and so here
                with pytest.raises(Exception):  # noqa: B017, PT011
                    template.render(messages, tools, prompt=prompt)
                continue
            assert template.render(messages, tools, prompt=prompt) == judged
            assert template.count([judged]) == [
                len(tokenizer(judged, add_special_tokens=False)["input_ids"])
            ]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "llama3_1", "mistral_v3", "phi3"])
def test_a_plan_counts_what_is_trained(name, tmp_path):
    tokenizer = tokenizer_for(name)
    tokenizer.save_pretrained(tmp_path)
    rows: list[dict] = [
        {"messages": [QUESTION, FIRST]},
        {"messages": [QUESTION, FIRST, AGAIN, SECOND]},
    ] * 3
    if name in {"qwen2_5", "qwen3", "llama3_1"}:
        rows.append({"messages": [QUESTION, CALL, RESULT, SECOND], "tools": TOOLS})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = read_rows(path)
    freeze(tokenizer)
    trained = encode_rows(path, data, learn_format(tokenizer), max_length=4096, overlong="error")
    found = lengths(data.rows, open_template(str(tmp_path), tmp_path))
    assert sorted(found.each) == sorted(trained.lengths)
    assert found.how.startswith(EXACT)
    assert ("rows become" in found.how) == (name == "qwen3")
    labels = sum(label != IGNORED for label in trained.labels)
    assert found.scored == pytest.approx(labels, rel=0.25)


@pytest.mark.parametrize(
    ("name", "thought"),
    [("gptoss", THOUGHT), ("deepseek_r1_distill", THOUGHT), ("gemma4_large", ""), ("smolvlm", "")],
)
def test_a_plan_counts_thoughts_and_text_that_templates_read_in_other_forms(
    name, thought, tmp_path
):
    tokenizer = tokenizer_for(name)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [QUESTION, FIRST | {"reasoning": thought * 20}]}))
    data = read_rows(path)
    freeze(tokenizer)
    trained = encode_rows(path, data, learn_format(tokenizer), max_length=4096, overlong="error")
    found = lengths(data.rows, open_template(str(tmp_path), tmp_path))
    assert found.each == [pytest.approx(trained.lengths[0], rel=0.1)]
    assert found.how.startswith(EXACT)


def test_of_many_rows_the_longest_is_counted_and_the_sum_is_near(tmp_path, monkeypatch):
    monkeypatch.setattr("launcher.quote.row_lengths.COUNTED", 20)
    tokenizer = tokenizer_for("qwen2_5")
    tokenizer.save_pretrained(tmp_path)
    rows: list[dict] = [
        {"messages": [{"role": "user", "content": "mean of price " * (1 + n % 13)}, FIRST]}
        for n in range(400)
    ]
    rows[397]["messages"][0]["content"] = "year " * 300
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = read_rows(path)
    freeze(tokenizer)
    trained = encode_rows(path, data, learn_format(tokenizer), max_length=4096, overlong="error")
    found = lengths(data.rows, open_template(str(tmp_path), tmp_path))
    assert max(found.each) == trained.longest
    assert sum(found.each) == pytest.approx(trained.tokens, rel=0.1)
    assert "rows, the longest among them" in found.how


def test_without_the_tokenizer_it_is_an_estimate_that_says_so(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [QUESTION, FIRST], "tools": TOOLS}) + "\n")
    found = lengths(read_rows(path).rows, open_template("me/model", tmp_path))
    assert found.how == ROUGH
    assert found.each[0] > len(json.dumps(TOOLS)) // 4


def test_the_bundled_model_is_counted(tmp_path):
    assert open_template("bundled:tiny", tmp_path) is not None
    assert open_template("bundled:none", tmp_path) is None


@pytest.mark.parametrize(
    "broken", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
)
def test_files_that_cannot_be_read_give_an_estimate(broken, tmp_path):
    tokenizer_for("qwen2_5").save_pretrained(tmp_path)
    (tmp_path / broken).write_text("{% x")
    assert open_template(str(tmp_path), tmp_path) is None
