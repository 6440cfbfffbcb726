from pathlib import Path

import pytest

from trainer.contract.rows import Row
from trainer.data.encode import encode_each
from trainer.data.lint import lint
from trainer.data.masks import IGNORED, Encoded
from trainer.data.templates import freeze, learn_format

QUESTION = {"role": "user", "content": "what is the mean of price?"}
FIRST = {"role": "assistant", "content": 'submit(df["price"].mean())'}
AGAIN = {"role": "user", "content": "and of year?"}
SECOND = {"role": "assistant", "content": "print(df.head())"}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "run", "arguments": {"a": 1}}}],
}
RESULT = {"role": "tool", "content": "17"}


def format_of(tokenizer):
    freeze(tokenizer)
    return learn_format(tokenizer)


def encoded(chat_format, messages, tools=None):
    row = Row(messages, tools, 1)
    faults: list[str] = []
    ((_, found),) = encode_each([row], chat_format, faults, Path("rows"))
    assert not faults
    return row, found


def found_in(chat_format, row, encoded):
    return [(found.check, found.text) for found in lint(row, encoded, chat_format)]


def faults_of(chat_format, messages, tools=None):
    return found_in(chat_format, *encoded(chat_format, messages, tools))


@pytest.mark.parametrize("family", ["chatml", "qwen2_5", "llama3_2"])
@pytest.mark.parametrize(
    "messages",
    [
        [QUESTION, FIRST],
        [SYSTEM, QUESTION, FIRST, AGAIN, SECOND],
        [QUESTION, FIRST | {"weight": 0}, AGAIN, SECOND],
        [QUESTION, FIRST, AGAIN, SECOND | {"weight": 0}],
        [QUESTION, FIRST, AGAIN, SECOND, QUESTION, FIRST],
    ],
)
def test_good_rows_have_no_faults(tokenizer_of, family, messages):
    assert faults_of(format_of(tokenizer_of(family)), messages) == []


@pytest.mark.parametrize("family", ["qwen2_5", "llama3_2"])
def test_tool_calls_have_no_faults(tokenizer_of, family):
    tools = [{"type": "function", "function": {"name": "run", "parameters": {}}}]
    chat = [QUESTION, CALL, RESULT, SECOND]
    assert faults_of(format_of(tokenizer_of(family)), chat, tools) == []


def test_one_turn_of_a_thinking_model_has_no_faults(tokenizer_of):
    thought = FIRST | {"reasoning_content": "the mean, then"}
    assert faults_of(format_of(tokenizer_of("qwen3")), [QUESTION, thought]) == []
    written = FIRST | {"content": f"<think>\nthe mean\n</think>\n\n{FIRST['content']}"}
    assert faults_of(format_of(tokenizer_of("qwen3")), [QUESTION, written]) == []


@pytest.mark.parametrize(
    "turn",
    [
        FIRST | {"reasoning_content": "the mean, then"},
        FIRST | {"content": f"<think>\nthe mean, then\n</think>\n\n{FIRST['content']}"},
    ],
)
@pytest.mark.parametrize("later", [[AGAIN, SECOND], [AGAIN]])
def test_thoughts_that_a_later_turn_strips_are_refused(tokenizer_of, turn, later):
    chat_format = format_of(tokenizer_of("qwen3"))
    masks, prefix = faults_of(chat_format, [QUESTION, turn, *later])
    assert masks[0] == "masks"
    assert "message 2: the chat template leaves out 'the mean, then'" in masks[1]
    assert prefix[0] == "prefix"
    assert "message 2: the chat template writes it in another way once more messages" in prefix[1]
    assert "give it weight 0" in prefix[1]
    context = turn | {"weight": 0}
    assert not later[1:] or faults_of(chat_format, [QUESTION, context, *later]) == []
    second = faults_of(chat_format, [QUESTION, FIRST, AGAIN, turn, *later])
    assert any(text.startswith("message 4: the chat template writes it") for _, text in second)


def test_thoughts_that_the_template_does_not_know_are_refused(tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    ((check, text),) = faults_of(chat_format, [QUESTION, FIRST | {"reasoning_content": "hm"}])
    assert (check, "leaves out 'hm'" in text) == ("masks", True)


def test_an_answer_asked_for_after_another_text_is_refused(tokenizer_of):
    tokenizer = tokenizer_of("chatml")
    asks = "{{ '<|im_start|>assistant\\n' }}{% endif %}"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        asks, asks.replace("assistant\\n", "assistant\\n<think>\\n")
    )
    ((check, text),) = faults_of(format_of(tokenizer), [QUESTION, FIRST])
    assert check == "prefix"
    assert "message 2: follows another text in training than in use ('' against" in text


def test_so_it_is_after_an_answer_that_nobody_asked_for(tokenizer_of):
    """The first message follows nothing that could differ; the search goes on behind it."""
    tokenizer = tokenizer_of("chatml")
    asks = "{{ '<|im_start|>assistant\\n' }}{% endif %}"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        asks, asks.replace("assistant\\n", "assistant\\n<think>\\n")
    )
    chat = [FIRST, AGAIN, SECOND, QUESTION, FIRST]
    (_, third), (_, fifth) = faults_of(format_of(tokenizer), chat)
    assert third.startswith("message 3: follows another text")
    assert fifth.startswith("message 5: follows another text")


def test_a_template_that_refuses_a_chat_in_use_is_refused(tokenizer_of):
    """It takes the whole row, but not as far as the third answer."""
    tokenizer = tokenizer_of("chatml")
    refuses = "{% if messages | length == 6 %}{{ raise_exception('six') }}{% endif %}"
    tokenizer.chat_template = refuses + tokenizer.chat_template
    chat = [QUESTION, FIRST, AGAIN, SECOND, QUESTION, FIRST, AGAIN, SECOND]
    ((check, text),) = faults_of(format_of(tokenizer), chat)
    assert check == "prefix"
    assert "cannot stand alone: the chat template refuses it (six)" in text


def test_a_template_that_counts_the_messages_is_refused(tokenizer_of):
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    found = faults_of(format_of(tokenizer), [QUESTION, FIRST])
    assert [check for check, _ in found] == ["prefix"]


def test_a_bos_that_stands_twice_is_refused(tokenizer_of):
    tokenizer = tokenizer_of("llama3_2")
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    found = faults_of(format_of(tokenizer), [QUESTION, FIRST])
    assert [check for check, _ in found] == ["doubles"]
    assert "<|begin_of_text|> stands there twice" in found[0][1]


def test_text_that_the_tokenizer_takes_for_a_special_token_is_refused(tokenizer_of):
    from tokenizers import AddedToken, normalizers

    tokenizer = tokenizer_of("chatml")
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<|tool|>", special=True, normalized=True)]}
    )
    chat_format = format_of(tokenizer)
    wide = QUESTION | {"content": "what is \uff1c|tool|\uff1e?"}
    ((check, text),) = faults_of(chat_format, [wide, FIRST])
    assert check == "content"
    assert "makes <|tool|> of text that only looks like it" in text
    assert faults_of(chat_format, [QUESTION, FIRST]) == []


@pytest.fixture
def good(tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    return chat_format, *encoded(chat_format, [QUESTION, FIRST, AGAIN, SECOND])


def checks_of(chat_format, row, ids, labels):
    return [check for check, _ in found_in(chat_format, row, Encoded(ids, labels))]


def test_labels_that_train_too_much_or_too_little_are_seen(good):
    chat_format, row, plain = good
    ids, labels = plain.input_ids, plain.labels
    end = labels.index(chat_format.stop_id)
    assert checks_of(chat_format, row, ids, labels) == []

    def with_labels(change):
        changed = list(labels)
        change(changed)
        return checks_of(chat_format, row, ids, changed)

    def drop_stop(x):
        x[end] = IGNORED

    def train_newline(x):
        x[end + 1] = ids[end + 1]

    def train_question(x):
        x[5] = ids[5]

    def drop_turn(x):
        x[: end + 1] = [IGNORED] * (end + 1)

    def shift(x):
        x[end] = ids[end] + 1

    def drop_start(x):
        start = next(i for i, label in enumerate(x) if label != IGNORED)
        x[start : start + 3] = [IGNORED] * 3

    for change in (drop_stop, train_newline, train_question, drop_turn, shift, drop_start):
        assert with_labels(change) == ["masks"], change.__name__
    drop_stop(labels := list(labels))
    ((_, text),) = found_in(chat_format, row, Encoded(ids, labels))
    assert text.startswith("message 2: does not end with its stop token '<|im_end|>'")


def test_training_on_to_the_next_stop_is_seen(tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    row, plain = encoded(chat_format, [QUESTION, FIRST, AGAIN, SECOND | {"weight": 0}])
    ids, labels = plain.input_ids, list(plain.labels)
    start = next(at for at, label in enumerate(labels) if label != IGNORED)
    end = len(ids) - ids[::-1].index(chat_format.stop_id)
    labels[start:end] = ids[start:end]
    assert checks_of(chat_format, row, ids, labels) == ["masks"]
