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
    """The only part of a row, and its tokens and labels."""
    ((_, found),) = encode_each([Row(messages, tools, 1)], chat_format, lambda *_: None)
    ((part, tokens),) = found
    return part, tokens


def found_in(chat_format, part, encoded):
    return [(found.check, found.text) for found in lint(part, encoded, chat_format)]


def faults_of(chat_format, messages, tools=None, turns="auto"):
    found = []
    report = lambda _, one: found.append((one.check, one.text))  # noqa: E731
    for _, parts in encode_each([Row(messages, tools, 1)], chat_format, report, turns=turns):
        for part, tokens in parts:
            found += found_in(chat_format, part, tokens)
    return found


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
def test_thoughts_that_a_later_turn_strips_are_trained_apart_or_refused(tokenizer_of, turn, later):
    chat_format = format_of(tokenizer_of("qwen3"))
    assert faults_of(chat_format, [QUESTION, turn, *later]) == []
    refused = faults_of(chat_format, [QUESTION, turn, *later], turns="keep")
    # A question at the end of a row is no answer's context: it is left out.
    assert [check for check, _ in refused] == ["earlier turns"] * len(later[1:])
    for _, text in refused:
        assert text.startswith("message 2: the chat template writes it, or what precedes it, diff")
        assert text.endswith("--set turns=split")


def test_thoughts_that_the_template_does_not_know_are_refused(tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    ((check, text),) = faults_of(chat_format, [QUESTION, FIRST | {"reasoning_content": "hm"}])
    assert (check, "leaves out the thoughts 'hm'" in text) == ("lost text", True)
    assert text.endswith("write it in 'content', between <think> and </think>, or remove it")
    assert faults_of(chat_format, [QUESTION, FIRST | {"content": "<think>hm</think>a"}]) == []


def asking_with(tokenizer, added):
    asks = "{{ '<|im_start|>assistant\\n' }}{% endif %}"
    assert asks in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(
        asks, asks.replace("assistant\\n", f"assistant\\n{added}")
    )
    return format_of(tokenizer)


def test_an_answer_asked_for_after_another_text_is_refused(tokenizer_of):
    chat_format = asking_with(tokenizer_of("chatml"), "Sure: ")
    ((check, text),) = faults_of(chat_format, [QUESTION, FIRST])
    assert check == "earlier turns"
    assert "message 2: is preceded by another text in training than at inference" in text
    assert "chat_template.jinja" in text


def test_the_template_argument_that_helps_is_named_if_the_row_has_the_opposite(tokenizer_of):
    """The prompt of Nemotron 3 opens thoughts; an answer without them is asked for with thinking off."""
    chat_format = format_of(tokenizer_of("nemotron_3_nano"))
    row = Row([QUESTION, FIRST], None, 1, {"enable_thinking": True})
    found: list = []
    assert [*encode_each([row], chat_format, lambda _, one: found.append(one))] == []
    (fault,) = found
    assert fault.blocks
    assert fault.text.endswith('give the row "chat_template_kwargs": {"enable_thinking": false}')


def test_an_answer_to_no_question_is_refused_if_the_template_cannot_ask_for_it(tokenizer_of):
    ((_, text),) = faults_of(format_of(tokenizer_of("qwen2_5")), [FIRST, QUESTION, SECOND])
    assert text.startswith("message 1: an answer to no question")
    context = FIRST | {"weight": 0}
    assert faults_of(format_of(tokenizer_of("qwen2_5")), [context, QUESTION, SECOND]) == []


def test_a_template_that_refuses_a_chat_at_inference_is_refused(tokenizer_of):
    """It takes the whole row, but not as far as the third answer."""
    tokenizer = tokenizer_of("chatml")
    refuses = "{% if messages | length == 6 %}{{ raise_exception('six') }}{% endif %}"
    tokenizer.chat_template = refuses + tokenizer.chat_template
    chat = [QUESTION, FIRST, AGAIN, SECOND, QUESTION, FIRST, AGAIN, SECOND]
    ((check, text),) = faults_of(format_of(tokenizer), chat)
    assert check == "rendering"
    assert "message 6: the chat template refuses it (six)" in text


def test_a_template_that_counts_the_messages_trains_what_is_written_at_inference(tokenizer_of):
    """Its number changes with the answer; the prompt and the answer are those of inference."""
    tokenizer = tokenizer_of("chatml")
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    chat_format = format_of(tokenizer)
    part, tokens = encoded(chat_format, [QUESTION, FIRST])
    assert found_in(chat_format, part, tokens) == []
    asked = tokenizer.apply_chat_template([QUESTION], tokenize=False, add_generation_prompt=True)
    assert part.text.startswith(asked)


def test_a_bos_that_stands_twice_is_refused(tokenizer_of):
    tokenizer = tokenizer_of("llama3_2")
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    found = faults_of(format_of(tokenizer), [QUESTION, FIRST])
    assert [check for check, _ in found] == ["repeated tokens"]
    assert "<|begin_of_text|> appears twice in a row" in found[0][1]


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
    assert check == "fake turns"
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
        assert set(with_labels(change)) == {"trained tokens"}, change.__name__
    drop_stop(labels := list(labels))
    (_, text), *_ = found_in(chat_format, row, Encoded(ids, labels))
    assert text.startswith("message 2: does not end with its stop token in the loss")


def test_training_on_to_the_next_stop_is_seen(tokenizer_of):
    chat_format = format_of(tokenizer_of("chatml"))
    chat = [QUESTION, FIRST, AGAIN, SECOND | {"weight": 0}, QUESTION, FIRST]
    part, plain = encoded(chat_format, chat)
    ids, labels = plain.input_ids, list(plain.labels)
    start = next(at for at, label in enumerate(labels) if label != IGNORED)
    end = [at for at, token in enumerate(ids) if token == chat_format.stop_id][3] + 1
    labels[start:end] = ids[start:end]
    assert set(checks_of(chat_format, part, ids, labels)) == {"trained tokens"}
