"""Base and adapter over one loaded base: the bundled tiny model with an adapter that does nothing."""

import asyncio
from pathlib import Path

import pytest

from datagen.episode import Message
from datagen.local_model import BATCH, Engine, adapter_folder
from trainer.contract.errors import ModelUnavailable, NotFound

BASE = Path(__file__).parents[2] / "trainer" / "tiny" / "model"


@pytest.fixture(scope="module")
def zero_adapter(tmp_path_factory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("run") / "adapter"
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(BASE), config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)
    return folder


def conversation(column: str) -> list[Message]:
    asked = f'things\nkind text\n{column} number\nwidth integer\nWhat is the largest "{column}"?'
    return [Message(role="user", content=asked)]


def test_a_zero_adapter_says_what_the_base_says_and_the_base_says_sql(zero_adapter: Path):
    engine = Engine(zero_adapter.parent)
    columns = [f"col{letter}" for letter in "abcdefgh"]

    async def ask(model):
        return await asyncio.gather(*(model.reply(conversation(c), session="s") for c in columns))

    base, adapter = asyncio.run(ask(engine.base)), asyncio.run(ask(engine.adapter))
    assert base == adapter
    right = [f'```sql\nSELECT MAX("{c}") FROM t\n```' for c in columns]
    assert sum(a.text == b for a, b in zip(base, right, strict=True)) >= 7
    assert all(reply.prompt_tokens > reply.completion_tokens > 5 for reply in base)


def test_calls_in_flight_together_are_answered_together(zero_adapter: Path, monkeypatch):
    engine = Engine(zero_adapter)
    sizes = []
    complete = engine.complete

    def counting(conversations, *, adapted):
        sizes.append(len(conversations))
        return complete(conversations, adapted=adapted)

    monkeypatch.setattr(engine, "complete", counting)

    async def ask():
        await asyncio.gather(
            *(engine.base.reply(conversation(f"c{n}"), session="s") for n in range(BATCH + 6))
        )

    asyncio.run(ask())
    assert sizes == [BATCH, 6]


def test_a_failing_batch_fails_whoever_asked(zero_adapter: Path, monkeypatch):
    engine = Engine(zero_adapter)

    def broken(conversations, *, adapted):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "complete", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        asyncio.run(engine.base.reply(conversation("x"), session="s"))


def test_no_adapter_and_no_base(tmp_path: Path, zero_adapter: Path):
    with pytest.raises(NotFound, match="no adapter"):
        adapter_folder(tmp_path)
    config = (zero_adapter / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config.replace(str(BASE), str(tmp_path / "gone")))
    with pytest.raises(ModelUnavailable, match="gone"):
        Engine(tmp_path)
