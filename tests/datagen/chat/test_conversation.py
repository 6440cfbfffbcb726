"""What base and adapter answer, judged by PEFT's `disable_adapter` and transformers' own `generate`."""

import pytest

from datagen.chat.conversation import Conversation
from datagen.chat.screen import Screen
from datagen.episode import Message
from datagen.models.local.token_ids import token_ids
from tests.datagen.chat.conftest import TINY, TOKENS
from trainer.contract.command.errors import Usage

PROMPTS = ('things\ndepth number\nWhat is the largest "depth"?', "And the smallest?", "Thanks")
SYSTEM = "Use pandas."


def user(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.fixture(scope="module")
def generated(adapter):
    """The answers of the base and of the adapter, each with its own answers as history."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(TINY), adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(adapter)

    def answers() -> list[str]:
        messages = [{"role": "system", "content": SYSTEM}]
        for prompt in PROMPTS:
            messages.append({"role": "user", "content": prompt})
            ids = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            with torch.inference_mode():
                out = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)
            text = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
            messages.append({"role": "assistant", "content": text})
        return [message["content"] for message in messages[2::2]]

    adapted = answers()
    with model.disable_adapter():
        return {"base": answers(), "adapter": adapted}


def test_base_and_adapter_answer_as_the_libraries_generate(engine, generated, capsys):
    chat = Conversation(engine, Screen(), system=SYSTEM)
    found = [chat.ask(prompt) for prompt in PROMPTS]
    for label in ("base", "adapter"):
        assert [one[label].messages[-1].content for one in found] == generated[label]
    assert generated["base"] != generated["adapter"]
    assert found[-1]["base"].messages[0].content == SYSTEM
    # What is shown is what was answered, under the name of who answered.
    shown = capsys.readouterr().out
    expected = "".join(
        f"base\n{base.rstrip()}\n\nadapter\n{adapter.rstrip()}\n"
        for base, adapter in zip(*generated.values(), strict=True)
    )
    assert "".join(shown.split()) == "".join(expected.split())


def test_an_answer_is_shown_while_it_is_written(chat, monkeypatch):
    seen = []
    monkeypatch.setattr(chat.screen, "write", lambda text, **_: seen.append((text, len(tokens))))
    tokens: list[int] = []
    forward = chat.engine.loaded.weights.forward

    def counted(*given, **named):
        tokens.append(1)
        return forward(*given, **named)

    monkeypatch.setattr(chat.engine.loaded.weights, "forward", counted)
    chat.only = "base"
    chat.ask(PROMPTS[0])
    assert len({at for text, at in seen if text}) > 3


def test_only_one_answers_and_the_other_does_not_hear_of_it(chat, capsys):
    chat.only = "adapter"
    assert [*chat.ask(PROMPTS[0])] == ["adapter"]
    assert "base" not in capsys.readouterr().out
    chat.only = None
    found = chat.ask(PROMPTS[1])
    assert [len(found[label].messages) for label in ("base", "adapter")] == [2, 4]


def test_a_full_context_is_reported_and_clear_makes_room(chat, capsys):
    chat.only = "base"
    chat.ask("hello")
    with pytest.raises(Usage, match=r"the conversation has .+ tokens, the model") as fault:
        chat.ask("word " * 2100)
    assert "/clear" in fault.value.hint
    chat.clear()
    with pytest.raises(Usage) as fault:
        chat.ask("word " * 2100)
    assert fault.value.hint == "ask a shorter question"
    assert chat.ask("hello")["base"].ending in {"stop", "length"}


def test_why_an_answer_was_cut_off(chat, capsys):
    chat.only = "adapter"
    chat.ask(PROMPTS[0])
    assert f"(cut off after {TOKENS} tokens; more with --tokens)" in capsys.readouterr().err
    chat.clear()
    tokenizer = chat.engine.loaded.tokenizer
    none, some = (len(token_ids(tokenizer, [user("word" * n)])) for n in (0, 100))
    chat.ask("word" * (100 * (2048 - 4 - none) // (some - none)))
    assert "(cut off: the context of 2,048 tokens is full; /clear" in capsys.readouterr().err
