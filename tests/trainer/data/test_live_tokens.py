"""What is trained on is what is read when it counts: token ids of exported rows and of the live loop."""

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from datagen.dataset.export import row
from datagen.episode import Column, Episode, Provenance, Question, TableRef, Verdict
from datagen.episodes.agent import solve
from datagen.episodes.attempts import Task
from datagen.models.protocol import Reply
from datagen.prompts.render import as_reply, prompt_hash
from datagen.sandbox import CellResult
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.templates import freeze, learn_format

TINY = Path("trainer/tiny/model")
QUESTION = Question(
    id="q",
    text='What is the mean "price"? (2 decimals)',
    answer_type="number",
    decimals=2,
    source="template",
    family="aggregate",
    difficulty="easy",
    truth=2.5,
)
TABLE = TableRef(
    name="shop",
    path="shop.csv",
    sha256="0",
    rows=2,
    columns=[Column(name="price", kind="number", meaning="amount", low=2, high=3, top=["2", "3"])],
    head=[["2"], ["3"]],
)
REPLIES = [
    "\n\nI look first.\n" + as_reply("print(df)\n"),
    "no block ",
    as_reply("df['prise']"),
    as_reply("submit(df['price'].mean())") + "\n",
]
RESULTS = [
    CellResult(ok=True, stdout="  price\n0  2\n1  3\n"),
    CellResult(ok=False, stdout="x" * 9000, stderr="KeyError: 'prise'"),
    CellResult(ok=True, submitted=True, answer=2.5),
]


class Cells:
    def __init__(self):
        self.results = iter(RESULTS)

    @contextmanager
    def episode(self):
        yield self

    def run(self, code):
        return next(self.results)


class Listening:
    name = "listening"

    def __init__(self):
        self.heard = []

    async def reply(self, messages, *, session):
        self.heard.append([message.model_dump() for message in messages])
        return Reply(text=REPLIES[len(self.heard) - 1])


def tokenizer_named(name, tokenizer_of):
    if name != "tiny":
        return tokenizer_of(name)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(__file__).parents[3] / TINY)


@pytest.mark.parametrize("style", ["brief", "full"])
@pytest.mark.parametrize("name", ["tiny", "qwen2_5", "llama3_2"])
def test_an_exported_row_has_the_token_ids_of_the_live_loop(name, style, tokenizer_of, tmp_path):
    model = Listening()
    task = Task(question=QUESTION, tables=[TABLE], paths=[], style=style)
    trace = asyncio.run(solve(task, model, Cells(), session="s", turn_limit=4))  # type: ignore[arg-type]
    episode = Episode(
        id="e",
        question=QUESTION,
        tables=[TABLE],
        traces=[trace],
        verdict=Verdict(verified=True, rule="number"),
        provenance=Provenance(
            model="m",
            prompt=style,
            prompt_sha256=prompt_hash(style),
            sandbox_level="full",
            seed=0,
            versions={},
        ),
    )
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row(episode, trace)) + "\n")
    tokenizer = tokenizer_named(name, tokenizer_of)
    freeze(tokenizer)
    examples = encode_rows(
        path, read_rows(path), learn_format(tokenizer), max_length=10**5, overlong="error"
    )
    (trained,) = examples.rows([0])
    assert len(model.heard) == len(REPLIES)
    for messages in model.heard:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        live = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert trained[: len(live)] == live
