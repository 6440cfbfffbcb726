"""`launch chat`: which folder it finds, and a chat on a terminal with the bundled tiny model."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from launcher import cli
from launcher.runs import run_folder
from launcher.runs.journal import Journal
from launcher.world import World
from tests.datagen.chat.conftest import adapter  # noqa: F401 fixture
from tests.terminal import Terminal
from trainer.contract.job import from_sources


@pytest.fixture
def run(tmp_path: Path) -> run_folder.Run:
    """A run that has just begun."""
    found = run_folder.Run("20261130-first", tmp_path / "run")
    found.folder.mkdir()
    Journal(found.journal, world=World()).fact("created", id=found.id, where="here")
    job = from_sources("tiny", flags={"data": "rows.jsonl", "output": str(found.folder)})
    (found.folder / "job.json").write_text(job.to_json(), "utf-8")
    run_folder.add_to_index(found, world=World())
    return found


def test_a_run_is_found_by_the_first_characters_of_its_id(run, monkeypatch):
    seen = []
    monkeypatch.setattr(World, "become", lambda _, command: seen.append(command))
    cli.main(["chat", "2026", "-p", "-1 + 1?", "--json", "--tokens", "8"])
    ((*_, module, verb, model, folder, as_json, prompt, tokens),) = seen
    assert (module, verb, model, folder) == ("datagen", "chat", "--model", str(run.folder))
    assert (as_json, prompt, tokens) == ("--json", "--prompt=-1 + 1?", "--tokens=8")


def test_an_unknown_run(capsys):
    assert cli.main(["chat", "nosuchrun"]) == 11
    assert "unknown run 'nosuchrun'\n  -> list the runs with: launch ps" in capsys.readouterr().err


def on_terminal(folder: Path, *words: str) -> Terminal:
    return Terminal([sys.executable, "-m", "launcher", "chat", *words], folder)


def test_a_run_without_an_adapter_names_a_command_that_shows_more(run, tmp_path, capsys):
    shown = on_terminal(tmp_path, str(run.folder))
    assert shown.wait() == 11
    cause, hint = shown.text.splitlines()[:2]
    assert cause == f"error: {run.folder}: this run has no adapter and no checkpoint yet"
    assert cli.main(hint.partition("launch ")[2].split()) == 0


def test_a_chat_on_a_terminal(adapter, tmp_path):  # noqa: F811
    shutil.copytree(adapter, tmp_path / "run" / "adapter")
    shown = on_terminal(tmp_path, "run", "--tokens", "1500")
    try:
        shown.until("Ctrl-D ends", seconds=400)
        shown.type("/adapter\n")
        shown.until("adapter answers(.|\\s)*> ")
        shown.type("hello\n")
        shown.until(
            r"> hello\s+(\x1b\S+\s+)*[^\x1b\s]{3}"
        )  # the adapter does not end by itself for long
        shown.ctrl_c()
        shown.until(r"\(stopped\)")
        shown.type("/save Hello.\n")
        shown.until("launch check --data corrections.jsonl")
        shown.type("/tabel\n")
        shown.until(
            r"did you mean /table(.|\s)*> "
        )  # the prompt: before it, the terminal loses a Ctrl-D
        shown.type("\x04")
        assert shown.wait() == 0
    finally:
        shown.close()
    assert "Traceback" not in shown.text
    assert re.search(r'"Hello."}\]}\n$', (tmp_path / "corrections.jsonl").read_text("utf-8"))
