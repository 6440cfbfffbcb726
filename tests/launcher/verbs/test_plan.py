"""The verb from end to end, with prices as they were read last: there is neither key nor network."""

import hashlib
import json

import pytest

from launcher import catalog, cli
from launcher.world import World
from tests.launcher.test_comparison import CARDS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    catalog.keep(CARDS, World())
    said = [{"role": "user", "content": "q" * 8}, {"role": "assistant", "content": "a" * 100}]
    rows = [json.dumps({"messages": said})] * 200
    (tmp_path / "data.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "t.csv").write_text("a\n1\n")
    table = {"path": "t.csv", "sha256": hashlib.sha256(b"a\n1\n").hexdigest()}
    lines = [json.dumps({"question": {"id": str(n)}, "tables": [table]}) for n in range(300)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def planned(capsys, *more):
    assert cli.main(["plan", "--json", "--data", "data.jsonl", *more]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_questions_and_the_held_out_loss_are_in_time_and_money(folder, capsys):
    plain = planned(capsys)
    asked = planned(capsys, "--evaluate", "test.jsonl")
    cards = {card["card"]: card for card in plain["cards"]}
    for card in asked["cards"]:
        if card["fits"]:
            before = cards[card["card"]]
            # 300 to base and adapter each, at 2, 1 and 0.4 a second
            for part, seconds in (("low", 300), ("likely", 600), ("high", 1500)):
                assert card["seconds"][part] - before["seconds"][part] == pytest.approx(
                    seconds, abs=1
                )
                more = card["dollars"][part] - before["dollars"][part]
                assert more == pytest.approx(seconds / 3600 * card["rate"], abs=2e-3)


def test_the_table_says_what_is_counted(folder, capsys):
    assert cli.main(["plan", "--data", "data.jsonl", "--evaluate", "test.jsonl"]) == 0
    text = capsys.readouterr().out
    assert "19,950 tokens to train on" in text  # 190 x 35 x 3
    assert "3,150 to measure the held-out loss" in text  # 9 x 10 x 35
    assert "300 questions to base and adapter" in text


def test_episodes_that_are_not_there_are_a_fault(folder, capsys):
    assert cli.main(["plan", "--data", "data.jsonl", "--evaluate", "none.jsonl"]) == 11
