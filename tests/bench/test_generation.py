"""Answers of local weights: in batches against one at a time, and 200 questions from end to end.

The tiny model with an adapter that does nothing, asked the demo's kind of questions on one thread. The
baseline is the library's `generate` with its cache, one conversation after another; "its batches" are
64 conversations padded on the left. A table of seconds a question, never an assertion on time.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datagen.episode import Episode
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import table_ref
from datagen.evaluation.evaluate import EvaluatedModel, evaluate
from datagen.models.local.model import BATCH, Engine, PendingCall
from datagen.models.local.token_ids import token_ids
from datagen.models.local.weights import find_model
from datagen.prompts.render import opening
from datagen.questions.basic import ask
from datagen.tables.synthetic import synthetic_tables
from datagen.tables.table import profile_table

pytestmark = pytest.mark.bench
BASE = Path(__file__).parents[2] / "trainer" / "tiny" / "model"
QUESTIONS, ALONE = 200, 40


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("run") / "adapter"
    config = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(BASE), config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)
    return Engine(find_model(str(folder)))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> list[Task]:
    folder: Path = tmp_path_factory.mktemp("tables")
    found = []
    for path in synthetic_tables(folder, count=8, seed=0):
        profile = profile_table(path)
        ref = table_ref(profile, folder)
        found += [
            Task(question=question, tables=[ref], paths=[path])
            for question in ask(profile, count=30, seed=0)
        ]
    return found[:QUESTIONS]


def library(engine: Engine, asked: Sequence[PendingCall]) -> list[str]:
    """The same with the library's own loop."""
    import torch

    tokenizer = engine.loaded.tokenizer
    rows = [token_ids(tokenizer, one.messages) for one in asked]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        out = engine.loaded.weights.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=256,
            do_sample=False,
            eos_token_id=sorted(engine.stops),
            pad_token_id=0,
        )
    found = out[:, width:].tolist()
    ends = [next((n for n, x in enumerate(row) if x in engine.stops), len(row)) for row in found]
    return [
        tokenizer.decode(row[:end], skip_special_tokens=True)
        for row, end in zip(found, ends, strict=True)
    ]


def ours(engine: Engine, asked: Sequence[PendingCall]) -> list[str]:
    model = engine.adapter
    assert model is not None

    async def all_of_them() -> list[str]:
        calls = [model.reply(one.messages, session=one.session) for one in asked]
        return [reply.text for reply in await asyncio.gather(*calls)]

    return asyncio.run(all_of_them())


def timed(
    write: Callable[[Engine, Sequence[PendingCall]], list[str]],
    engine: Engine,
    asked: Sequence[PendingCall],
    size: int,
) -> tuple[float, float, list[str]]:
    """Seconds a question by the clock and of CPU, and the replies."""
    clock, cpu = time.perf_counter(), time.process_time()
    texts = [
        text for at in range(0, len(asked), size) for text in write(engine, asked[at : at + size])
    ]
    n = len(asked)
    return (time.perf_counter() - clock) / n, (time.process_time() - cpu) / n, texts


def test_batched_against_one_at_a_time(engine: Engine, tasks: list[Task]):
    future: Any = None
    asked = [PendingCall(opening(t.question, t.tables), t.question.id, future) for t in tasks]
    ours(engine, asked[:4])
    runs = [
        ("library, one at a time", library, asked[:ALONE], 1),
        (f"library, batches of {BATCH}", library, asked, BATCH),
        ("ours, one at a time", ours, asked[:ALONE], 1),
        ("ours, batches of 16", ours, asked, 16),
        (f"ours, batches of {BATCH}", ours, asked, BATCH),
        ("ours, all at once", ours, asked, len(asked)),
    ]
    print(f"\n{'':28}{'ms':>8}{'CPU ms':>8}{'times as fast (CPU)':>21}{'same text':>11}")
    baseline = 0.0
    texts: list[str] = []
    for name, write, some, size in runs:
        clock, cpu, said = timed(write, engine, some, size)
        baseline, texts = baseline or cpu, texts or said
        both = [*zip(said, texts, strict=False)]
        same = sum(a == b for a, b in both)
        print(
            f"{name:28}{1000 * clock:>8.1f}{1000 * cpu:>8.1f}{baseline / cpu:>21.1f}"
            f"{same:>8}/{len(both)}"
        )


class Unwatched:
    def __call__(self, episode: Episode) -> None:
        pass

    found = __call__


def test_200_questions_from_end_to_end(engine: Engine, tasks: list[Task], tmp_path: Path):
    """Both models, sandbox and judge included; the base answers in SQL and so takes three turns."""
    began: list[float] = []

    @contextmanager
    def watch(label: str, total: int):
        began.append(time.perf_counter())
        yield Unwatched()
        print(f"{label:10}{total:>5} questions{time.perf_counter() - began[-1]:>8.1f} s")

    print()
    assert engine.adapter is not None
    models = [
        EvaluatedModel(label="base", model=engine.base),
        EvaluatedModel(label="adapter", model=engine.adapter),
    ]
    cpu = time.process_time()
    found = evaluate(tasks, models, output=tmp_path, watch=watch)
    print(
        f"together {time.perf_counter() - began[0]:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
        f" without the sandbox's; {found['effort']['base']['turns']:.1f} turns a question"
    )
    assert found["n"] == QUESTIONS
