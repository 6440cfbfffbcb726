import json
import re
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.dataset.card import card, page, write_card
from datagen.dataset.facts import measure
from datagen.episode import (
    Audit,
    Episode,
    Message,
    Provenance,
    Question,
    TableRef,
    Trace,
    Turn,
    Verdict,
    write_episodes,
)


def episode(number: int, *, verified: bool, text: str = "") -> Episode:
    slip = Turn(
        reply="```python\nx\n```", code="x", error=True, stderr="NameError", feedback="NameError"
    )
    last = Turn(reply="so: ```python\nsubmit(1)\n```", code="submit(1)", submitted=True, answer=1)
    opening = [Message(role="user", content="?")]
    return Episode(
        id=f"episode{number}",
        question=Question(
            id=f"question{number}", text=text or f"Q {number} </script>?", answer_type="integer",
            source="template", family="a|b <i>", difficulty="easy", truth=1,
        ),
        tables=[TableRef(name="t", path="t.csv", sha256="ab" * 32, rows=7, columns=[])],
        traces=[
            Trace(opening=opening, turns=[slip, last], agrees=verified, cost=0.25, providers=["P"]),
        ],
        verdict=Verdict(verified=verified, rule="truth" if verified else "another value"),
        provenance=Provenance(
            model="openai/x", prompt_sha256="0" * 64, sandbox_level="full", seed=0,
            versions={"pandas": "3"}, licence="Apache-2.0",
        ),
    )  # fmt: skip


EPISODES = [episode(1, verified=True), episode(2, verified=True), episode(3, verified=False)]


def test_measure_counts_what_was_paid_and_what_came_of_it():
    quality = measure([*EPISODES, episode(1, verified=True)])
    assert (quality.total.asked, quality.total.verified, quality.same_question) == (4, 3, 1)
    assert (quality.attempts, quality.right, quality.repaired) == (4, 3, 3)
    assert quality.turns == {2: 3}
    assert quality.cost == pytest.approx(1.0)
    assert quality.cost_per_verified == pytest.approx(1 / 3)
    assert quality.rejected == {"another value": 1}


def test_the_card_states_yield_origin_cost_and_a_missing_licence():
    text = card(measure(EPISODES), name="mine", licence=None)
    for said in ("2 (66.7%)", "openai/x (3)", "Apache-2.0 (3)", "$0.75", "$0.3750", "not stated"):
        assert said in text
    assert "| source: template | 3 | 2 | 0.667 |" in text
    assert "license: cc0-1.0" in card(measure(EPISODES), name="mine", licence="cc0-1.0")


def test_the_page_is_one_file_that_loads_nothing_and_lets_nothing_out():
    text = page(measure(EPISODES), name="<b>mine</b>")
    assert "<b>mine</b>" not in text
    assert "a|b &lt;i&gt;" in text
    assert not re.search(r"<(script|link|img)|http|@import", text)
    assert len(text.encode()) < 20_000
    source = text[text.index("Verified, by source") :]
    assert 'width="100.0" height="10"/><rect class="good" width="66.66' in source
    assert '<td class="n">2 of 3' in source


def test_the_page_shows_questions_with_code_output_and_answer_and_why_one_is_refused():
    missed = episode(4, verified=False)
    silent = missed.traces[0].model_copy(update={"turns": missed.traces[0].turns[:1]})
    verdict = Verdict(
        verified=False, rule="majority", category="no majority", detail="1 of 5 agree"
    )
    missed = missed.model_copy(update={"traces": [*missed.traces, silent], "verdict": verdict})
    text = page(measure([*EPISODES, missed]), name="mine")
    assert text.count("Q 1 &lt;/script&gt;?") == 1
    assert "Q 2" not in text  # of the same family and table
    accepted, refused = text.split("Questions without a verified answer")
    assert "<pre>submit(1)</pre>" in accepted
    assert '<p class="dim">output</p><pre>NameError</pre>' in accepted
    assert "submitted 1</p>" in accepted
    assert (
        'no majority <span class="dim">no attempt agrees with the one that saw the hint' in refused
    )
    assert "truth 1 · answers of 2 attempts 1, none" in refused
    assert "1 of 5 agree" in refused


def test_examples_are_of_different_families_or_tables_and_few():
    families = [
        each.model_copy(update={"question": each.question.model_copy(update={"family": str(n)})})
        for n in range(9)
        for each in EPISODES
    ]
    quality = measure(families)
    assert [one.question.family for one in quality.examples["verified"]["easy"]] == [*"0123"]
    assert len(quality.examples["not verified"]["another value"]) == 4


def test_card_of_nothing_verified(tmp_path: Path):
    paths = write_card(measure([EPISODES[2]]), tmp_path / "new", name="n", licence=None)
    assert [p.name for p in paths] == ["README.md", "quality.html"]
    assert "0 (0.0%)" in paths[0].read_text()


def test_inspect_shows_messages_code_output_and_verdict(tmp_path: Path, capsys):
    write_episodes(tmp_path / "e.jsonl", EPISODES)
    assert main(["inspect", str(tmp_path / "e.jsonl"), "question3"]) == 0
    shown = capsys.readouterr().out
    for part in ("Q 3", "submit(1)", "NameError", "not verified: another value", "truth: 1"):
        assert part in shown
    assert main(["inspect", str(tmp_path / "e.jsonl"), "episode", "--json"]) == 11
    assert "3 episodes have an id that starts with episode" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "e.jsonl"), "episode1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "episode1"


def test_inspect_without_an_id_lists_what_there_is(tmp_path: Path, capsys):
    write_episodes(tmp_path / "e.jsonl", EPISODES)
    assert main(["inspect", str(tmp_path / "e.jsonl")]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [text.split()[0] for text in listed] == [each.id for each in EPISODES]
    assert ["not verified" in text for text in listed] == [False, False, True]
    assert listed[2].endswith("  t: Q 3 </script>?")
    assert main(["inspect", str(tmp_path / "e.jsonl"), "--json"]) == 0
    printed = [json.loads(text)["id"] for text in capsys.readouterr().out.splitlines()]
    assert printed == [each.id for each in EPISODES]


def test_a_file_that_holds_no_episodes_is_named_once(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text("a;b\n1;2\n3;4\n")
    assert main(["inspect", str(tmp_path / "t.csv")]) == 3
    said = capsys.readouterr().err
    assert "not an episode file: no line is an episode" in said
    assert "t.csv:1: line: Invalid JSON" in said
    assert "t.csv:2" not in said
    write_episodes(tmp_path / "e.jsonl", EPISODES)
    with (tmp_path / "e.jsonl").open("a") as file:
        file.write("{}\n" * 2)
    assert main(["inspect", str(tmp_path / "e.jsonl")]) == 3
    assert "e.jsonl:5: " in capsys.readouterr().err


def test_the_card_publishes_the_audit():
    asked = episode(1, verified=True)
    audits = [
        Audit(model="other/y", trace=asked.traces[0], agrees=agrees) for agrees in (True, False)
    ]
    text = card(
        measure([asked.model_copy(update={"audit": audit}) for audit in audits]),
        name="n",
        licence=None,
    )
    assert "| audit | 2 verified answers solved again by other/y: 1 disagree |" in text
    assert "| audit |" not in card(measure([asked]), name="n", licence=None)
