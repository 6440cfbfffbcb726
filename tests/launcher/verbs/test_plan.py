"""The verb from end to end, with prices as they were read last: there is neither key nor network."""

import hashlib
import json
import os
import time

import pytest

from launcher import cli
from launcher.quote import catalog
from launcher.world import World
from tests.launcher.quote.test_compare_gpus import CARDS, gpu
from trainer.contract.sizing.cards import CARDS as KNOWN

CARDS_OF_RUNPOD = {name for name, card in KNOWN.items() if card.runpod}


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
    assert "3,500 to measure the held-out loss" in text  # (the base + 9) x 10 x 35
    assert "300 questions to base and adapter" in text


def test_episodes_that_are_not_there_are_a_fault(folder, capsys):
    assert cli.main(["plan", "--data", "data.jsonl", "--evaluate", "none.jsonl"]) == 11


@pytest.fixture
def smi(folder, monkeypatch):
    """``smi(*lines)``: an nvidia-smi that prints them, on the path."""

    def make(*lines):
        tool = folder / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        said = "\n".join(lines)
        tool.write_text(f"#!/bin/sh\necho \"$*\" >{folder}/asked\ncat <<'END'\n{said}\nEND\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)

    return make


def test_the_card_of_this_machine_is_the_first_row_and_costs_no_rent(folder, smi, capsys):
    smi("NVIDIA GeForce RTX 4090, 24564")
    cards = planned(capsys)["cards"]
    assert "--query-gpu=name,memory.total" in (folder / "asked").read_text()
    here, *rented = cards
    assert (here["card"], here["memory_gb"], here["here"]) == ("NVIDIA GeForce RTX 4090", 25, True)
    assert here["fits"]
    assert set(here["dollars"].values()) == {0.0}
    assert len(rented) == 5
    assert not any(card["here"] for card in rented)
    assert any("cheapest" in card["note"] for card in rented)
    # start 60, weights 6.17e9 / 100e6, 19,950 tokens and 3,150 measured: no pull, nothing to fetch
    assert here["seconds"]["likely"] == pytest.approx(60 + 62 + 6, abs=3)


def test_the_row_says_how_to_train_there(folder, smi, capsys):
    smi("NVIDIA GeForce RTX 4090, 24564", "NVIDIA GeForce RTX 4090, 24564")
    assert cli.main(["plan", "--data", "data.jsonl", "--cards", "2"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "--on here" in line]
    assert len(rows) == 1
    assert rows[0].startswith("RTX 4090")


def test_without_a_driver_or_with_one_that_fails_there_is_no_such_row(folder, smi, capsys):
    assert not any(card["here"] for card in planned(capsys)["cards"])
    smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver")
    assert not any(card["here"] for card in planned(capsys)["cards"])


@pytest.fixture
def no_prices(folder):
    (folder / "user" / "sft-launch" / "catalog.json").unlink()


def test_without_any_price_fit_and_time_are_planned(no_prices, smi, capsys):
    smi("NVIDIA GeForce RTX 4090, 24564")
    found = planned(capsys)
    here, *rented = found["cards"]
    assert here["here"]
    assert (found["read_at"], found["live"]) == (None, False)
    assert {card["card"] for card in rented} == set(CARDS_OF_RUNPOD)
    assert {card["rate"] for card in rented} == {card["dollars"] for card in rented} == {None}
    assert all(card["seconds"]["likely"] > 0 for card in rented)
    assert cli.main(["plan", "--data", "data.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("no prices: no RunPod key\n  -> make one at RunPod")
    assert "cheapest" not in shown


def test_prices_of_an_earlier_day_have_their_date(folder, capsys, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert cli.main(["plan", "--data", "data.jsonl"]) == 0
    assert "prices of 2027-01-15 08:00 UTC: no RunPod key" in capsys.readouterr().out


def test_without_data_a_typical_set_is_planned_and_that_is_said(no_prices, capsys):
    assert cli.main(["plan"]) == 0
    shown = capsys.readouterr().out
    assert "2,850,000 tokens to train on" in shown  # 950 of 1,000 rows, 1,000 tokens, 3 epochs
    assert "of a typical set, because no data are given: 1,000 rows of 1,000 tokens" in shown
    assert "for your rows: launch plan --data FILE" in shown


def test_all_mistakes_come_in_one_list(folder, capsys):
    wrong = ["--data", "a.jsonl", "--evaluate", "b.jsonl", "--model", "./c"]
    assert cli.main(["plan", *wrong]) == 11
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "error: 3 things to correct before this can run"
    assert [line[2:5] for line in shown if " does not exist" in line] == ["1. ", "2. ", "3. "]
    assert ["a.jsonl" in shown[1], "./c" in shown[3], "b.jsonl" in shown[5]] == [True] * 3


def test_a_pod_has_a_card(folder, capsys):
    assert cli.main(["plan", "--cards", "0"]) == 2
    assert "--cards 0: a pod has at least one card" in capsys.readouterr().err


@pytest.mark.parametrize("cards", [["--cards", "8"], ["--epochs", "999"]])
def test_the_table_fits_a_terminal_of_80_columns(cards, folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    catalog.keep(
        CARDS.model_copy(
            update={
                "gpus": (*CARDS.gpus, gpu("NVIDIA RTX PRO 6000 Blackwell Server Edition", 99.5, 96))
            }
        ),
        World(),
    )
    assert cli.main(["plan", *cards, "--data", "data.jsonl"]) == 0
    told = capsys.readouterr().out.partition("then: ")[2].splitlines()[1:]
    assert len(told) > 10
    assert max(map(len, told)) <= 80
