"""Base and adapter over one loaded base: the bundled tiny model with an adapter that does nothing."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from datagen.dataset.export import row
from datagen.episode import Message, Turn
from datagen.models.local.batch import Batch
from datagen.models.local.model import BATCH, Engine, Generation
from datagen.models.local.token_ids import rendered, token_ids
from datagen.models.local.weights import find_model, model_name, shape_mismatches
from datagen.models.protocol import NoReply
from tests.datagen.answered import episode
from trainer.contract.command.errors import ModelUnavailable, NotFound
from trainer.contract.rows import Row
from trainer.data.encode import encode_each
from trainer.data.masks import IGNORED
from trainer.data.templates import learn_format

BASE = Path(__file__).parents[4] / "trainer" / "tiny" / "model"


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


def answers(model, conversations, name="s"):
    async def ask():
        calls = [model.reply(c, session=f"{name}{n}") for n, c in enumerate(conversations)]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def engine(zero_adapter: Path) -> Engine:
    return Engine(find_model(str(zero_adapter.parent)))


COLUMNS = [f"col{letter}" for letter in "abcdefgh"]


def test_a_zero_adapter_says_what_the_base_says_and_the_base_says_sql(engine: Engine):
    asked = [conversation(c) for c in COLUMNS]
    base, adapter = answers(engine.base, asked), answers(engine.adapter, asked)
    assert base == adapter
    right = [f'```sql\nSELECT MAX("{c}") FROM t\n```' for c in COLUMNS]
    assert sum(a.text == b for a, b in zip(base, right, strict=True)) >= 7
    assert all(reply.prompt_tokens > reply.completion_tokens > 5 for reply in base)
    assert {reply.finish_reason for reply in base} == {"stop"}


def test_in_a_batch_as_alone_and_as_the_library_writes(engine: Engine):
    """Rows of different lengths, which end at different times."""
    long = [Message(role="user", content="x " * 40 + conversation("depth")[0].content)]
    asked = [*(conversation(c * n) for n, c in enumerate(COLUMNS, 1)), long]
    together = answers(engine.base, asked)
    assert together == [answers(engine.base, [one])[0] for one in asked]
    tokenizer = engine.loaded.tokenizer
    for one, reply in zip(asked, together, strict=True):
        import torch

        ids = torch.tensor([token_ids(tokenizer, one)])
        with engine.loaded.weights.disable_adapter():
            out = engine.loaded.weights.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=256,
                do_sample=False,
                eos_token_id=sorted(engine.stops),
                pad_token_id=0,
            )
        assert tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True) == reply.text


def test_token_ids_are_the_trainers(engine: Engine):
    """What stands before each trained reply, failed turns included, is what is asked with."""
    turns = [
        Turn(reply="```python\nprint(df)\n```", code="print(df)", stdout="a", feedback="a\n\nb"),
        Turn(reply="\nno code", code=None, error=True, feedback="Reply with one block."),
        Turn(reply="```python\nsubmit(1)\n```", code="submit(1)", submitted=True, answer=1),
    ]
    made = episode(1, right=True)
    trace = made.traces[0].model_copy(update={"turns": turns, "opening": conversation("depth")})
    line = Row(messages=row(made, trace)["messages"], tools=None, line=1)
    tokenizer = engine.loaded.tokenizer
    found: list[tuple[int, object]] = []
    ((_, parts),) = encode_each([line], learn_format(tokenizer), lambda *one: found.append(one))
    ((_, encoded),) = parts
    assert not found
    trained = [label != IGNORED for label in encoded.labels]
    starts = [n for n, on in enumerate(trained) if on and not trained[n - 1]]
    messages = trace.messages()
    replies = [n for n, m in enumerate(messages) if m.role == "assistant"]
    asked = [token_ids(tokenizer, messages[:n]) for n in (replies[0], replies[2])]
    assert asked == [encoded.input_ids[:start] for start in starts]
    whole = "".join(rendered(tokenizer, messages[: replies[2]]))
    assert whole.count("<|im_start|>assistant") == 3


def test_a_reply_that_is_too_long_is_cut_and_a_question_that_is_gets_none(zero_adapter: Path):
    short = Engine(find_model(str(zero_adapter)), Generation(tokens=4))
    (reply,) = answers(short.base, [conversation("depth")])
    assert (reply.finish_reason, reply.completion_tokens) == ("length", 4)
    endless = [Message(role="user", content="word " * 5000)]
    found = answers(short.base, [endless, conversation("depth")])
    assert isinstance(found[0], NoReply)
    assert found[0].kind == "refused"
    assert found[1] == reply


def test_sampling_hangs_on_the_session_and_not_on_the_batch(zero_adapter: Path):
    warm = Engine(find_model(str(zero_adapter)), Generation(temperature=1.5, tokens=20))
    asked = [conversation(c) for c in COLUMNS]
    first, again = answers(warm.base, asked, "a"), answers(warm.base, asked, "a")
    assert first == again
    assert answers(warm.base, asked[:1], "a") == first[:1]
    assert answers(warm.base, asked, "b") != first


@pytest.fixture
def sizes(monkeypatch) -> list[tuple[str, int]]:
    """What each pass was, and over how many rows."""
    found: list[tuple[str, int]] = []
    join, step = Batch.join, Batch.step

    def joining(batch, rows):
        found.append(("join", len(batch) + len(rows)))
        return join(batch, rows)

    def stepping(batch):
        found.append(("step", len(batch)))
        return step(batch)

    monkeypatch.setattr(Batch, "join", joining)
    monkeypatch.setattr(Batch, "step", stepping)
    return found


def test_rows_join_those_under_way_and_a_batch_has_an_end(engine: Engine, sizes):
    asked = [conversation(f"c{n}" * (1 + n % 3)) for n in range(BATCH + 6)]
    together = answers(engine.base, asked)
    assert max(size for _, size in sizes) == BATCH
    assert [kind for kind, _ in sizes].index("step") < max(
        at for at, (kind, size) in enumerate(sizes) if kind == "join" and size > 6
    )
    assert together[-1] == answers(engine.base, asked[-1:])[0]


def test_each_reply_is_given_as_soon_as_it_is_written(engine: Engine):
    """One that ends is not kept back by one that goes on, and its asker may ask again meanwhile."""
    order = []

    async def ask(name, column, times):
        for turn in range(times):
            await engine.base.reply(conversation(column), session=name)
            order.append(f"{name}{turn}")

    async def all_of_them():
        await asyncio.gather(ask("long", "x" * 150, 1), ask("short", "a", 3))

    asyncio.run(all_of_them())
    assert order == ["short0", "short1", "short2", "long0"]


def test_a_cache_that_cannot_be_joined_is_written_to_its_end_first(engine, sizes, monkeypatch):
    asked = [conversation(c * n) for n, c in enumerate(COLUMNS, 1)]
    whole = answers(engine.base, asked)
    monkeypatch.setattr(engine, "room", 3)
    monkeypatch.setattr(Batch, "takes_more", property(lambda batch: not batch.rows))
    sizes.clear()
    assert answers(engine.base, asked) == whole
    assert max(size for _, size in sizes) == 3
    joined = [at for at, (kind, _) in enumerate(sizes) if kind == "join"]
    assert all(sizes[at - 1] == ("step", 1) for at in joined[1:])


def test_a_card_without_room_takes_fewer_at_a_time(engine: Engine, sizes, monkeypatch):
    import torch

    asked = [conversation(c) for c in COLUMNS]
    whole = answers(engine.base, asked)
    sizes.clear()
    join, step = Batch.join, Batch.step
    monkeypatch.setattr(engine, "room", BATCH)

    def guarded(write, rows):
        if rows > 2:
            raise torch.OutOfMemoryError
        return write()

    monkeypatch.setattr(
        Batch, "join", lambda b, rows: guarded(lambda: join(b, rows), len(b) + len(rows))
    )
    monkeypatch.setattr(Batch, "step", lambda b: guarded(lambda: step(b), len(b)))
    assert answers(engine.base, asked) == whole
    assert engine.room == 2
    assert max(size for _, size in sizes) == 2
    monkeypatch.setattr(Batch, "join", lambda _b, _rows: guarded(list, 3))
    (error,) = answers(engine.base, asked[:1])
    assert isinstance(error, torch.OutOfMemoryError)


def test_nothing_is_written_for_those_who_are_gone(engine: Engine, sizes):
    async def ask():
        one = asyncio.create_task(engine.base.reply(conversation("x" * 200), session="a"))
        async with asyncio.timeout(20):
            while len(sizes) < 3:  # noqa: ASYNC110 - the passes are another thread's
                await asyncio.sleep(0.001)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        before = len(sizes)
        worker = engine.base.worker
        assert worker is not None
        await worker
        return len(sizes) - before

    assert asyncio.run(ask()) <= 2


def test_a_failing_pass_fails_whoever_asked(engine: Engine, monkeypatch):
    def broken(batch, rows):
        raise RuntimeError("out of order")

    monkeypatch.setattr(Batch, "join", broken)
    (error,) = answers(engine.base, [conversation("x")])
    assert isinstance(error, RuntimeError)


def test_what_a_path_names(tmp_path: Path, zero_adapter: Path):
    assert find_model(str(zero_adapter.parent)).adapter == zero_adapter
    assert find_model(str(BASE)) == find_model("bundled:tiny")
    assert find_model("org/name").base == "org/name"
    with pytest.raises(NotFound, match="no adapter"):
        find_model(str(tmp_path))
    with pytest.raises(NotFound, match="unknown bundled model"):
        find_model("bundled:huge")


def test_of_checkpoints_the_newest_that_is_whole(tmp_path: Path, zero_adapter: Path):
    run = tmp_path / "run"
    for step in (2, 9, 10, 11):
        made = shutil.copytree(zero_adapter, run / "checkpoints" / f"checkpoint-{step}")
        if step != 11:
            (made / "checkpoint.json").write_text("{}")
    newest = run / "checkpoints" / "checkpoint-10"
    assert find_model(str(run)).adapter == find_model(str(run / "checkpoints")).adapter == newest
    assert find_model(str(newest.with_name("checkpoint-2"))).adapter == newest.with_name(
        "checkpoint-2"
    )
    shutil.copytree(zero_adapter, run / "adapter")
    assert find_model(str(run)).adapter == run / "adapter"


@pytest.fixture
def copy(tmp_path: Path, zero_adapter: Path) -> Path:
    return Path(shutil.copytree(zero_adapter, tmp_path / "run" / "adapter"))


def edit(copy: Path, **values) -> None:
    file = copy / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_run_elsewhere_with_the_bundled_base_finds_the_one_here(copy: Path, tmp_path: Path):
    gone = str(tmp_path / "gone")
    edit(copy, base_model_name_or_path=gone)
    with pytest.raises(ModelUnavailable, match="gone"):
        Engine(find_model(str(copy)))
    assert find_model(str(copy), "bundled:tiny").base == str(BASE)
    (copy.parent / "job.json").write_text(json.dumps({"model": "bundled:tiny"}))
    assert find_model(str(copy.parent)).base == str(BASE)


def test_another_adapter_in_the_same_place_is_another_model(copy: Path):
    from safetensors.torch import load_file, save_file

    before = model_name(find_model(str(copy)))
    file = copy / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    assert model_name(find_model(str(copy))) != before


def test_damaged_adapters_are_refused(copy: Path):
    file = copy / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(ModelUnavailable, match="is incomplete") as refused:
        find_model(str(copy))
    assert "tensor data is cut" in refused.value.faults[0]
    file.write_bytes(whole)
    edit(copy, r=4)
    with pytest.raises(ModelUnavailable, match="is incomplete") as refused:
        find_model(str(copy))
    assert "not of rank 4" in refused.value.faults[0]


def test_an_adapter_of_another_base_is_refused(copy: Path, engine: Engine):
    base = engine.loaded.weights.base_model.model
    shape = {"shape": [2, 999]}
    odd = {
        "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": shape,
        "base_model.model.model.layers.99.mlp.up_proj.lora_A.weight": shape,
    }
    faults = shape_mismatches(base, odd)
    assert "in_features 999, in the base 128" in faults[0]
    assert faults[1] == "the base has no model.layers.99.mlp.up_proj"
    edit(copy, base_model_name_or_path="org/made-for")
    with pytest.raises(ModelUnavailable, match="trained on org/made-for, not on org/other"):
        find_model(str(copy), "org/other")
