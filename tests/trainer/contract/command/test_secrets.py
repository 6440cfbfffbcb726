from pathlib import Path

import pytest

from trainer.contract.command.secrets import dotenv, find

CANARY = "sk-or-CANARY"


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_environment_then_the_file_here():
    assert find("OPENROUTER_API_KEY", lambda _: "") is None
    Path(".env").write_text(f'# OPENROUTER_API_KEY=no\nexport OPENROUTER_API_KEY="{CANARY}"\n')
    found = find("OPENROUTER_API_KEY", lambda _: "  ")
    assert found is not None
    assert (found.value, found.source) == (CANARY, ".env")
    assert CANARY not in repr(found)
    other = find("OPENROUTER_API_KEY", {"OPENROUTER_API_KEY": " sk-2 "}.__getitem__)
    assert other is not None
    assert other.value == "sk-2"


def test_the_byte_order_mark_of_an_editor_is_no_part_of_a_name():
    Path(".env").write_text("OPENROUTER_API_KEY=x\n", encoding="utf-8-sig")
    assert dotenv(Path(".env")) == {"OPENROUTER_API_KEY": "x"}


def test_lines_that_are_none():
    Path("x").write_bytes(b"\xff\xfe")
    assert dotenv(Path("x")) == {}
    Path("y").write_text("a=b=c\nnothing\nq='\n r = ''\n")
    assert dotenv(Path("y")) == {"a": "b=c", "q": "'", "r": ""}
