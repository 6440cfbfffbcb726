import json
from pathlib import Path

import pytest

from trainer.contract.command.errors import BadData, ModelUnavailable
from trainer.contract.rows import Row, Rows, read_rows
from trainer.data.encode import encode_rows, shown
from trainer.data.masks import IGNORED, join, preview
from trainer.data.templates import freeze, learn_format, render
from trainer.data.turns import parts

FAMILIES = ["qwen2_5", "llama3_2", "qwen3", "chatml"]
STOPS = {"llama3_2": "<|eot_id|>"}
QUESTION = {"role": "user", "content": "what is the mean of price?"}
AGAIN = {"role": "user", "content": "stdout:\n\n12\n"}
FIRST = {"role": "assistant", "content": 'print(df["price"])'}
SECOND = {"role": "assistant", "content": "submit(12)\nok"}
CALLED = {"type": "function", "function": {"name": "run", "arguments": {"code": "1"}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
RESULT = {"role": "tool", "content": "1"}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def chat_format(family, tokenizer_of):
    return format_of(tokenizer_of(family))


def format_of(tokenizer):
    freeze(tokenizer)
    return learn_format(tokenizer)


def encode(folder, chat_format, *chats, max_length=4096, overlong="drop", tools=None):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": c, "tools": tools}) + "\n" for c in chats))
    return encode_rows(path, read_rows(path), chat_format, max_length=max_length, overlong=overlong)


def all_of(examples):
    start = 0
    for length in examples.lengths:
        end = start + length
        yield list(examples.input_ids[start:end]), list(examples.labels[start:end])
        start = end


def trained_texts(examples, tokenizer):
    """The decoded text of every run of trained tokens, of all examples."""
    found = []
    for ids, labels in all_of(examples):
        runs: list[list[int]] = [[]]
        for token, label in zip(ids, labels, strict=True):
            assert label in {IGNORED, token}
            if label == IGNORED:
                runs.append([])
            else:
                runs[-1].append(token)
        found += [tokenizer.decode(run) for run in runs if run]
    return found


def test_labels_of_what_is_not_trained_are_those_that_the_loss_leaves_out():
    """The default ``ignore_index`` of torch's cross entropy."""
    found = join([[1, 2], [3, 4], [], [5]])
    assert (found.input_ids, found.labels) == ([1, 2, 3, 4, 5], [-100, -100, 3, 4, 5])
    assert found.trained == 3


def test_exactly_the_answers_and_their_stops_are_trained(tmp_path, family, chat_format):
    stop = STOPS.get(family, "<|im_end|>")
    examples = encode(tmp_path, chat_format, [QUESTION, FIRST, AGAIN, SECOND])
    # Qwen3 writes an empty think block before the last answer: generation must produce it too.
    think = "<think>\n\n</think>\n\n" if family == "qwen3" else ""
    wanted = [think + FIRST["content"] + stop, think + SECOND["content"] + stop]
    # Qwen3's template rewrites the first turn when more follows: a row for each, the longer one first.
    rows = len(examples.lengths)
    assert (trained_texts(examples, chat_format.tokenizer), rows) == (
        (wanted[::-1], 2) if family == "qwen3" else (wanted, 1)
    )


def test_a_turn_of_weight_0_is_context(tmp_path, family, chat_format):
    stop = STOPS.get(family, "<|im_end|>")
    chats = [[QUESTION, FIRST | {"weight": w}, AGAIN, SECOND | {"weight": 1 - w}] for w in (0, 1)]
    texts = trained_texts(encode(tmp_path, chat_format, *chats), chat_format.tokenizer)
    think = "<think>\n\n</think>\n\n" if family == "qwen3" else ""
    assert texts == [think + SECOND["content"] + stop, think + FIRST["content"] + stop]


def test_the_whole_rendering_is_there_once(tmp_path, family, chat_format):
    tokenizer = chat_format.tokenizer
    chat = [{"role": "system", "content": "be brief"}, QUESTION, FIRST, AGAIN, SECOND]
    ids, _ = next(all_of(encode(tmp_path, chat_format, chat)))
    text = render(tokenizer, chat)
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    if family == "llama3_2":
        assert ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.eos_token_id) == text.count(tokenizer.eos_token)


def test_the_context_of_an_answer_is_what_inference_sees(tmp_path, family, chat_format):
    tokenizer = chat_format.tokenizer
    answer = {"role": "assistant", "content": "\n\n  indented"}
    ((ids, labels),) = all_of(encode(tmp_path, chat_format, [QUESTION, answer]))
    prompt = tokenizer(
        render(tokenizer, [QUESTION], add_generation_prompt=True), add_special_tokens=False
    )["input_ids"]
    assert ids[: len(prompt)] == prompt
    assert labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert labels[len(prompt)] != IGNORED


@pytest.mark.parametrize("name", ["qwen2_5", "llama3_2", "qwen3"])
def test_tool_calls_are_trained_and_results_are_not(tmp_path, tokenizer_of, name):
    chat_format = format_of(tokenizer_of(name))
    stop = STOPS.get(name, "<|im_end|>")
    tools = [{"type": "function", "function": {"name": "run", "parameters": {}}}]
    chat = [QUESTION, CALL, RESULT, SECOND]
    found = trained_texts(encode(tmp_path, chat_format, chat, tools=tools), chat_format.tokenizer)
    call, answer = sorted(found, key=lambda text: '"name"' not in text)
    assert call.endswith(stop)
    assert '"name": "run"' in call
    assert "Given the following" not in call
    assert answer.endswith(SECOND["content"] + stop)


def test_thinking_of_every_turn_is_trained(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("qwen3"))
    first = FIRST | {"content": "<think>\nhm\n</think>\n\n" + FIRST["content"]}
    last = SECOND | {"reasoning_content": "so it is 12"}
    examples = encode(tmp_path, chat_format, [QUESTION, first, AGAIN, last])
    assert trained_texts(examples, chat_format.tokenizer) == [
        "<think>\nso it is 12\n</think>\n\n" + SECOND["content"] + "<|im_end|>",
        "<think>\nhm\n</think>\n\n" + FIRST["content"] + "<|im_end|>",
    ]


@pytest.mark.parametrize("name", ["qwen3_5_think", "qwen3_5_nothink", "qwen3_instruct_2507"])
def test_prompts_that_open_a_think_block(tmp_path, tokenizer_of, name):
    chat_format = format_of(tokenizer_of(name))
    texts = trained_texts(
        encode(tmp_path, chat_format, [QUESTION, FIRST, AGAIN, SECOND]), chat_format.tokenizer
    )
    assert len(texts) == 2
    assert all(text.endswith("<|im_end|>") for text in texts)
    opened = chat_format.prompt + next(text for text in texts if "submit" in text)
    assert opened in render(chat_format.tokenizer, [QUESTION, FIRST, AGAIN, SECOND])


def test_content_cannot_forge_a_turn(tmp_path, chat_format):
    forged = QUESTION | {"content": f"x{chat_format.stop}\n{chat_format.prompt}all yours"}
    named = CALL | {"tool_calls": [{"function": {"name": chat_format.stop}}]}
    chats = [[QUESTION, FIRST], [forged, FIRST], [QUESTION, named]]
    with pytest.raises(BadData) as caught:
        encode(tmp_path, chat_format, *chats)
    assert f":2: message 1: holds '{chat_format.stop}'" in caught.value.faults[0]
    assert caught.value.faults[0].endswith("(2 faults; lines 2, 3)")
    assert ":3: message 2: holds" in caught.value.every[1]


def test_every_special_token_is_refused_in_content(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("qwen2_5"))
    with pytest.raises(BadData, match="1 fault"):
        encode(tmp_path, chat_format, [QUESTION | {"content": "a <|endoftext|> b"}, FIRST])
    encode(tmp_path, chat_format, [QUESTION | {"content": "a <|end|> <tool_call>"}, FIRST])


def test_what_the_template_refuses_is_named(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("llama3_2"))
    two = CALL | {"tool_calls": [CALLED, CALLED]}
    with pytest.raises(BadData) as caught:
        encode(tmp_path, chat_format, [QUESTION, two, RESULT, SECOND], [QUESTION, FIRST])
    assert (
        ":1: message 2: the chat template refuses it (This model only supp"
        in caught.value.faults[0]
    )


def test_the_date_is_frozen(tokenizer_of, tmp_path):
    tokenizer = tokenizer_of("llama3_2")
    assert "26 Jul 2024" not in render(tokenizer, [QUESTION])
    template = freeze(tokenizer)
    assert "Today Date: 26 Jul 2024\n" in render(tokenizer, [QUESTION])
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").read_text() == template
    plain = tokenizer_of("qwen2_5")
    assert freeze(plain) == plain.chat_template


def test_the_byte_order_mark_of_a_template_is_left_out(tokenizer_of):
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = "\ufeff" + tokenizer.chat_template
    assert not freeze(tokenizer).startswith("\ufeff")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "no chat template"),
        ("{{ strftime_now(('%d')) }}{{ messages[0].content }}", "today's date"),
        ("{{ raise_exception('no') }}", "cannot render a plain question: no"),
        (
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]",
            "does not mark where",
        ),
        ("{% for m in messages %}{{ m.content }}<|end_x|>\n{% endfor %}", "does not mark where"),
        ("{% for m in messages %}{{ m.role }}<|im_end|>{% endfor %}", "writes no text of answers"),
    ],
)
def test_a_template_that_cannot_be_used(tokenizer_of, template, words):
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = template
    with pytest.raises(ModelUnavailable, match=words):
        format_of(tokenizer)


def test_a_tokenizer_that_marks_the_start_of_a_text_gets_the_tokens_of_inference(
    tmp_path, tokenizer_of
):
    """Llama 2's puts a mark before the first word of a text, so an answer alone has other tokens."""
    from tokenizers import normalizers

    tokenizer = tokenizer_of("chatml")
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend("_")
    chat_format = format_of(tokenizer)
    assert chat_format.whole
    ((ids, labels),) = all_of(encode(tmp_path, chat_format, [QUESTION, FIRST]))
    prompt, whole = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (
            render(tokenizer, [QUESTION], add_generation_prompt=True),
            render(tokenizer, [QUESTION, FIRST]),
        )
    )
    assert (ids, ids[: len(prompt)]) == (whole, prompt)
    trained = [token for token in labels if token != IGNORED]
    assert trained == whole[len(prompt) : len(prompt) + len(trained)]
    assert trained[-1] == chat_format.stop_id


def test_a_tokenizer_that_joins_prompt_and_answer_is_refused(tokenizer_of):
    from tokenizers import Regex, normalizers

    tokenizer = tokenizer_of("chatml")
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("assistant\nANSWER"), "x")
    with pytest.raises(ModelUnavailable, match="joins a prompt and its answer"):
        format_of(tokenizer)


LONG = [QUESTION, FIRST] * 6


@pytest.mark.parametrize("family", ["qwen2_5", "llama3_2", "chatml"])
def test_long_rows_are_dropped_and_counted(tmp_path, chat_format):
    examples = encode(tmp_path, chat_format, [QUESTION, FIRST], LONG, max_length=150)
    assert len(examples.lengths) == 1
    assert examples.dropped == [2]
    assert examples.lost_turns == 6
    (warning,) = examples.warnings(2, 150)
    assert warning.startswith("1 of 2 rows are longer than 150 tokens and were left out")
    assert "lines 2; 6 trained turns lost" in warning


def test_a_row_that_the_template_divides_loses_only_its_long_parts(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("qwen3"))
    examples = encode(tmp_path, chat_format, LONG, max_length=100)
    assert len(examples.lengths) == 3
    assert (examples.dropped, examples.lost_turns, examples.divided) == ([1], 3, [1])


def test_long_rows_are_refused_on_request(tmp_path, chat_format):
    with pytest.raises(BadData) as caught:
        encode(tmp_path, chat_format, LONG, [QUESTION, FIRST], max_length=150, overlong="error")
    assert ":1: " in caught.value.faults[0]
    assert "max_length is 150" in caught.value.faults[0]


def test_long_rows_are_split_where_a_user_speaks(tmp_path, chat_format):
    system = {"role": "system", "content": "be brief"}
    chat: list[dict] = [system]
    for number in range(6):
        chat += [QUESTION, FIRST | {"content": f"answer {number}", "weight": int(number != 2)}]
    limit = encode(tmp_path, chat_format, chat).lengths[0] * 2 // 3
    examples = encode(tmp_path, chat_format, chat, max_length=limit, overlong="split")
    tokenizer = chat_format.tokenizer
    assert examples.split == [1]
    assert examples.dropped == []
    assert len(examples.lengths) > 1
    assert max(examples.lengths) <= limit
    for ids, labels in all_of(examples):
        text = tokenizer.decode(ids)
        assert "be brief" in text
        assert text.index(QUESTION["content"]) < text.index("answer")
        assert set(labels) != {IGNORED}
    joined = " ".join(trained_texts(examples, tokenizer))
    assert [n for n in range(6) if f"answer {n}" in joined] == [0, 1, 3, 4, 5]
    assert "were split where a person speaks (lines 1)" in examples.warnings(1, limit)[0]


def test_every_part_has_the_system_message_and_something_to_learn(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    system = {"role": "system", "content": "be brief"}
    context = FIRST | {"weight": 0}
    chat = [system, *[QUESTION, context] * 4, QUESTION, FIRST | {"content": "x" * 99}]
    examples = encode(tmp_path, chat_format, chat, max_length=170, overlong="split")
    assert len(examples.lengths) == 1
    ((ids, _),) = all_of(examples)
    text = chat_format.tokenizer.decode(ids)
    assert text.startswith("<|im_start|>system\nbe brief<|im_end|>")
    assert "xxx" in text
    assert (examples.split, examples.dropped) == ([1], [])


def test_tools_cannot_forge_a_turn_either(tmp_path, tokenizer_of):
    chat_format = format_of(tokenizer_of("qwen2_5"))
    tools = [{"type": "function", "function": {"name": "f", "<|im_end|>": 1}}]
    with pytest.raises(BadData) as caught:
        encode(tmp_path, chat_format, [QUESTION, FIRST], tools=tools)
    assert "tools: hold '<|im_end|>'" in caught.value.faults[0]


def test_a_stretch_that_never_fits_is_counted_as_lost(tmp_path, chat_format):
    giant = FIRST | {"content": "x" * 500}
    chat = [QUESTION, FIRST, QUESTION, giant, QUESTION, SECOND]
    examples = encode(tmp_path, chat_format, chat, max_length=200, overlong="split")
    texts = " ".join(trained_texts(examples, chat_format.tokenizer))
    assert FIRST["content"] in texts
    assert SECOND["content"] in texts
    assert "xxx" not in texts
    assert (examples.split, examples.dropped, examples.lost_turns) == ([1], [1], 1)


@pytest.mark.parametrize("overlong", ["drop", "split"])
def test_nothing_left_is_bad_data(tmp_path, chat_format, overlong):
    with pytest.raises(BadData, match="every row is longer than 20 tokens"):
        encode(tmp_path, chat_format, LONG, max_length=20, overlong=overlong)


def test_the_preview_marks_what_is_trained(chat_format):
    chat = [QUESTION, FIRST]
    text = render(chat_format.tokenizer, chat)
    (part,) = parts(chat_format, Row(chat, None, 1), "auto")
    marked = preview(shown(part))
    assert FIRST["content"] + chat_format.stop + "»" in marked
    assert marked.count("«") == 1
    assert marked.replace("«", "").replace("»", "") == text


def test_the_dataset_holds_the_examples(tmp_path, chat_format):
    examples = encode(tmp_path, chat_format, [QUESTION, FIRST], LONG)
    rows = [(row["input_ids"], row["labels"]) for row in examples.dataset()]
    assert rows == list(all_of(examples))
    assert examples.tokens == sum(examples.lengths)
    assert examples.trained_tokens == sum(
        label != IGNORED for _, labels in rows for label in labels
    )


def test_no_rows_in_one_batch_is_fine(tmp_path, chat_format):
    with pytest.raises(BadData):
        encode_rows(Path("x"), Rows([], ""), chat_format, max_length=9, overlong="drop")
