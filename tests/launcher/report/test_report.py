import json
import re
import shutil

import pytest

from launcher import report
from launcher.cli import main
from launcher.report.facts import GROUPS, collect
from launcher.report.sentences import outcome
from launcher.runs.run_folder import Run
from tests.launcher.report.made import DIVERGENCE, FORGED, HELD_OUT, make_run
from trainer.contract import event_text
from trainer.contract.command.errors import NotFound
from trainer.contract.validation import Choice, Score


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path / "run")


def test_the_outcome_comes_first_with_what_it_cost(run):
    *lines, last = run.events.read_text().splitlines()
    ended = json.loads(last) | {"time": json.loads(lines[0])["time"] + 62}
    run.events.write_text("\n".join([*lines, json.dumps(ended), ""]))
    said = outcome(collect(run))
    assert said == [
        "The adapter is better than its base: of 4 held-out questions it answers 3 right, the base 1.",
        f"The adapter predicts{event_text.held_out(HELD_OUT).removeprefix('the adapter predicts')}.",
        f"On 3 general{event_text.divergence(DIVERGENCE).removeprefix('on 3 general')}.",
        "The run cost $0.1234 (quoted at most $2.00) and took 1 min 2 s on a card.",
    ]


def test_a_run_that_failed_or_was_not_evaluated_says_so(run):
    for name in ("comparison.json", "receipt.json"):
        (run.folder / name).unlink()
    assert outcome(collect(run))[0].startswith("The adapter predicts 5 of 5")
    assert "no receipt yet" in outcome(collect(run))[-1]
    run.manifest.unlink()
    assert outcome(collect(run))[0] == "The run has no result yet."
    with run.events.open("a") as file:
        file.write(
            json.dumps(
                {
                    "v": 1,
                    "seq": 99,
                    "time": 9.0,
                    "type": "failed",
                    "cause": "no space",
                    "exit_code": 8,
                }
            )
            + "\n"
        )
    assert outcome(collect(run))[0] == "The run failed: no space"


def test_a_run_without_held_out_rows_or_of_an_older_trainer_says_what_is_unknown(tmp_path):
    old = make_run(tmp_path / "run", old=True)
    (old.folder / "comparison.json").unlink()
    assert outcome(collect(old))[0] == "The adapter was not compared with its base."
    page = report.write(old).read_text("utf-8")
    assert 'id="held-out"' not in page
    assert "What else changed" not in page
    assert "step 2: What?" in page
    lines = old.events.read_text().splitlines(keepends=True)
    old.events.write_text("".join(line for line in lines if '"type":"eval"' not in line))
    assert outcome(collect(old))[0].endswith(
        "No rows were held out: this takes 24 different rows and eval_share above 0, or eval_data."
    )


def test_base_adapter_and_reference_stand_side_by_side_open_at_the_top(run):
    page = report.write(run).read_text("utf-8")
    section = re.split("</?section", page[page.index('id="held-out"') :])[0]
    assert section.count('<div class="three">') == 5
    assert "<details" not in section
    assert "Row 5: loss 2.31 → 1.04" in section
    assert section.count("base 0 &lt;/script&gt;") == section.count("adapter 2 &lt;") == 5
    assert section.count("truth &lt;/script&gt;") == 5
    assert "adapter 1" not in section
    assert page.count("adapter 1 &lt;") == 5
    assert "<th>Why?<td>0.125" in page
    told = json.loads((run.folder / "report.json").read_text())
    assert told["held_out"]["rows"] == HELD_OUT.model_dump(mode="json")["rows"]
    assert told["divergence"]["each"][0] == ["Who?", 0.25]


def test_the_page_is_small_loads_nothing_and_forged_text_stays_text(run):
    text = report.write(run).read_text("utf-8")
    assert len(text.encode()) < 60_000
    assert FORGED not in text
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=""", text)
    assert "http" not in text
    assert "@import" not in text
    data = re.search(r'id="transcript-data">(.*?)</script>', text, re.DOTALL)
    assert data
    pairs = json.loads(data[1])
    assert [pair["outcome"] for pair in pairs] == ["lost", "both wrong", "won", "both right"]
    assert pairs[2]["text"] == FORGED
    assert pairs[2]["base"]["turns"] == [
        {"said": FORGED, "heard": "printed", "answer": 7, "submitted": True}
    ]
    assert 'id="example-data">{"best":[2],"worst":[0,1]}' in text
    assert "<mark>submit(1)" in text


def test_reasons_are_counted_for_base_and_adapter(run):
    text = report.write(run).read_text("utf-8")
    section = text[text.index('id="transcripts"') : text.index("All answers")]
    counts = re.findall(r"<tr><th>(\w[\w ]*?)[ <\n].*?<td>(\d)<br>(\d)", section, re.DOTALL)
    assert counts == [("right", "2", "2"), ("wrong", "2", "2")]
    assert "it submitted another value" in section


def test_probes_ceiling_samples_and_memory_are_told(run):
    text = report.write(run).read_text("utf-8")
    assert (
        "<th>adapter, tables emptied: shows guessed answers<td>4<td>0.750<td>0.125<td>-0.625"
        in text
    )
    assert "<td>0.875" in text
    assert "step 2: What?" in text
    assert "0.0 GB at most, 3.2 GB expected" in text


def test_a_run_without_events_or_with_torn_transcripts(run):
    transcripts = run.folder / "evaluation" / "adapter.jsonl"
    whole = transcripts.read_text()
    transcripts.write_text(whole[: len(whole) // 2 + 7])
    assert 0 < len(collect(run).pairs) < 4
    shutil.rmtree(run.folder / "evaluation")
    run.events.unlink()
    assert "Why answers are wrong" not in report.write(run).read_text("utf-8")
    run.journal.unlink()
    with pytest.raises(NotFound):
        collect(run)


def test_the_verb_takes_a_run_folder(run, capsys):
    assert main(["report", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["report"] == str(
        run.folder / "report.html"
    )


def test_a_comparison_of_one_question_has_no_groups(run):
    path = run.folder / "comparison.json"
    comparison = json.loads(path.read_text())
    for group in GROUPS:
        comparison[group] = dict(list(comparison.get(group, {}).items())[:1])
    path.write_text(json.dumps(comparison))
    page = report.write(run).read_text("utf-8")
    assert "all questions" in page


def test_difficulties_are_told_from_the_easiest_on_and_why_an_answer_is_wrong(run):
    path = run.folder / "comparison.json"
    comparison = json.loads(path.read_text())
    row = comparison["families"]["one"]
    comparison["difficulties"] = dict.fromkeys(("easy", "hard", "medium", "very hard"), row)
    path.write_text(json.dumps(comparison))
    assert [name for name, _ in collect(run).group("difficulties")] == [
        "easy", "medium", "hard", "very hard",
    ]  # fmt: skip
    assert [name for name, _ in collect(run).group("families")] == ["one", FORGED]
    transcript = run.folder / "evaluation" / "base.jsonl"
    transcript.write_text(transcript.read_text().replace('"detail": ""', '"detail": "too few"'))
    assert collect(run).pairs[0].facts["base"]["why"] == "integer: too few"


def test_it_tells_how_each_checkpoint_fared_and_which_was_kept(run):
    assert "Which checkpoint was kept" not in report.write(run).read_text()
    scores = [
        Score(step=2, loss=0.5, right=1, questions=9),
        Score(step=4, loss=None, right=7, questions=9),
    ]
    choice = Choice(chosen=4, by_loss=2, scores=scores)
    (run.folder / "validation.json").write_text(choice.model_dump_json())
    page = report.write(run).read_text()
    assert "Which checkpoint was kept" in page
    assert "<th>2</th><td>1</td><td>9</td><td>0.5000</td><td> (lowest loss)</td>" in page
    assert "<th>4</th><td>7</td><td>9</td><td></td><td>kept</td>" in page
    told = json.loads((run.folder / "report.json").read_text())
    assert told["validation"] == choice.model_dump(mode="json")
