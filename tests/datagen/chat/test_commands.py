"""The commands of a chat; what /save writes is judged by `launch check`."""

import json

import pytest

import launcher.cli
from trainer.contract.command.errors import Usage

LABELS = {"base": ["base"], "adapter": ["adapter"], "both": ["base", "adapter"]}


def rows(commands):
    return [json.loads(line) for line in commands.save.read_text("utf-8").splitlines()]


def test_save_writes_rows_that_check_accepts(commands, capfd):
    commands("/system Be brief.")
    commands("/adapter")
    commands.chat.ask("hello")
    with pytest.raises(Usage, match="not complete"):
        commands("/save")
    commands("/save Good morning, Jörg.")
    commands.chat.ask("more")
    commands("/save No more.")
    commands("/save No.")
    first, second = rows(commands)
    assert first["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Good morning, Jörg."},
    ]
    assert [m.get("weight") for m in second["messages"]] == [None, None, 0, None, None]
    assert second["messages"][-1]["content"] == "No."
    told = capfd.readouterr().err
    assert f"launch check --data {commands.save} --model bundled:tiny" in told
    assert (
        launcher.cli.main(["check", "--data", str(commands.save), "--model", "bundled:tiny"]) == 0
    )
    assert "2 trained turns" in capfd.readouterr().out


def test_a_new_system_prompt_starts_a_new_conversation(commands):
    commands.chat.ask("hello")
    commands("/system Be brief.")
    found = commands.chat.ask("hello")
    assert [m.role for m in found["base"].messages] == ["system", "user", "assistant"]
    commands("/system")
    assert [m.role for m in commands.chat.ask("hello")["base"].messages] == ["user", "assistant"]


def test_who_answers(commands):
    for name, labels in LABELS.items():
        commands(f"/{name}")
        assert [*commands.chat.ask("hello")] == labels


def test_help_names_every_command_and_where_save_writes(commands, capsys):
    assert commands("/help")
    told = capsys.readouterr().err
    assert all(f"/{name}" in told for name in "base adapter both system table save clear".split())
    assert "rows.jsonl" in "".join(told.split())
    assert not commands("/quit")


@pytest.mark.parametrize(
    ("line", "cause", "hint"),
    [
        ("/tabel x.csv", "unknown command /tabel", "did you mean /table?"),
        ("/xyzzy", "unknown command /xyzzy", "list the commands with /help"),
        ("/save", "there is no answer to save", "ask something first"),
        ("/form text", "there is no table", "ask about one with /table FILE.csv"),
    ],
)
def test_what_cannot_be_done(commands, line, cause, hint):
    with pytest.raises(Usage) as fault:
        commands(line)
    assert (fault.value.cause, fault.value.hint) == (cause, hint)
