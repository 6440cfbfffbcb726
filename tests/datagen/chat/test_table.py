"""Questions about a table: asked as in its episodes, run in the real sandbox; the replies are scripted."""

import json
import os
import signal
import threading
import time
from typing import Any, cast

import pytest

from datagen.chat.commands import row
from datagen.chat.conversation import Conversation
from datagen.chat.screen import Screen
from datagen.chat.table import TableQuestions
from datagen.episode import read_episodes
from datagen.models.protocol import Reply
from datagen.sandbox import remote
from trainer.contract.command.errors import BadData, NotFound, SandboxUnsafe, Usage
from trainer.contract.rows import read_rows

SHAPE, LENGTH = "```python\nprint(df.shape)\n```", "```python\nsubmit(len(df))\n```"


class Scripted:
    """In the place of a model: writes the next reply."""

    name = "scripted"

    def __init__(self, replies):
        self.replies = iter(replies)
        self.seen = []

    async def reply(self, messages, *, session, written):
        self.seen.append([*messages])
        text = next(self.replies)
        written(text)
        return Reply(text=text, finish_reason="stop")


@pytest.fixture
def about(engine, shop):
    """A conversation about the table `shop` with the adapter alone, which replies as scripted."""
    opened = []

    def begin(*replies, style="brief", keeps=False):
        chat = Conversation(engine, Screen(), keeps=keeps)
        chat.only = "adapter"
        chat.sides[1].model = cast("Any", Scripted(replies))
        chat.table = TableQuestions(shop, style)
        opened.append(chat.table)
        return chat, chat.sides[1].model

    yield begin
    for table in opened:
        table.close()


def test_a_question_is_asked_as_in_the_tables_episodes(about, episodes):
    made = read_episodes(episodes)
    chat, model = about(*(LENGTH for _ in made))
    for episode in made:
        chat.ask(episode.question.text)
        assert model.seen[-1] == episode.traces[0].opening


def test_code_output_and_answer_are_shown_and_saved(about, tmp_path, capsys):
    chat, model = about(SHAPE, LENGTH)
    found = chat.ask("How many?")["adapter"]
    assert [m.role for m in model.seen[1]] == ["system", "user", "assistant", "user"]
    shown = capsys.readouterr().out
    assert shown == f"{SHAPE}\n  (8, 4)\n{LENGTH}\nanswer: 8\n"
    assert found.record()["answer"] == 8
    assert [turn["stdout"] for turn in found.record()["turns"]] == ["(8, 4)\n", ""]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(found, "")) + "\n")
    (kept,) = read_rows(tmp_path / "rows.jsonl").rows
    assert kept.episode
    assert [m.get("weight") for m in kept.messages if m["role"] == "assistant"] == [0, None]
    corrected = row(found, "submit(9)")["messages"]
    assert corrected[-1]["content"] == "```python\nsubmit(9)\n```"
    assert len(corrected) == 3


def test_no_answer(about, capsys):
    chat, _ = about(*["It is eight."] * 3)
    found = chat.ask("How many?")["adapter"]
    assert "no answer (in 3 turns)" in capsys.readouterr().out
    with pytest.raises(Usage, match="submitted no answer"):
        row(found, "")


def test_the_full_prompt_states_the_table_and_the_kind_of_answer(about):
    chat, model = about(LENGTH, LENGTH, style="full")
    chat.ask("Which city?")
    assert 'Table "shop": 8 rows, 4 columns' in model.seen[0][0].content
    assert "Submit a number, as submit(3.25)." in model.seen[0][1].content
    chat.table.form = "text"
    chat.ask("Which city?")
    assert "Submit text exactly as the data spells it" in model.seen[1][1].content


def test_ctrl_c_ends_running_code_and_the_next_question_has_a_new_sandbox(about, capsys):
    chat, _ = about("```python\nprint(1)\nwhile True: pass\n```", LENGTH, keeps=True)
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    assert chat.ask("How many?") == {}
    assert time.monotonic() - began < 20  # the cell would have had 30 s
    assert "(stopped)" in capsys.readouterr().err
    assert chat.ask("How many?")["adapter"].trace.answer == 8


def test_what_is_no_table(tmp_path, shop, monkeypatch):
    with pytest.raises(NotFound, match="no such file"):
        TableQuestions(tmp_path / "none.csv", "brief")
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with pytest.raises(BadData):
        TableQuestions(tmp_path / "photo.csv", "brief")
    monkeypatch.setenv("SFT_SANDBOX", "unix:" + str(tmp_path / "socket"))
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 0)
    with pytest.raises(SandboxUnsafe, match="no sandbox service at"):
        TableQuestions(shop, "brief")
