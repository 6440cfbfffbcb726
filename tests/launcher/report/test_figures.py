"""report.json and report.html tell the same figures."""

import html
import json
import re

import pytest

from launcher import report
from launcher.cli import main
from launcher.report.facts import collect
from launcher.report.figures import Report, figures
from launcher.runs.run_folder import Run
from tests.launcher.report.made import make_run
from trainer.contract.events import Failed, Writer


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path / "run", questions=7)


def embedded(page: str, name: str):
    found = re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_and_the_json_tell_the_same(run):
    page = report.write(run).read_text("utf-8")
    told = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert all(line in html.unescape(page) for line in told["outcome"])
    curves = told["curves"]
    assert (curves["step"], curves["loss"]) == ([1, 2, 3], [3.0, 1.5, 1.0])
    assert "training: 3 at step 1, 1 at step 3; held out: 1.75 at step 2, 1.75 at step 2" in page
    assert told["lengths"] == [[50, 3], [100, 7]]
    assert "Rows by length. 3 up to 50, 7 up to 100" in page
    shown = [pair["outcome"] for pair in embedded(page, "transcript-data")]
    assert told["answers"] == {name: shown.count(name) for name in set(shown)}
    assert told["answers"]["won"] == 2
    cells = re.search(
        r"all questions .*?4 questions: 3 won, 1 lost.*?<td>25%<br>75%</tr>", page, re.DOTALL
    )
    assert cells
    assert [told["comparison"][name] for name in ("n", "base", "adapter")] == [4, 0.25, 0.75]
    assert [sample["step"] for sample in told["samples"]] == [2, *[0] * 5, *[1] * 5, *[2] * 5]
    assert told["quote"]["most"] == 2.0
    assert told["receipt"]["charged"] == 0.1234
    assert told["manifest"]["base_model"] == "me/model"
    assert "files" not in told["manifest"]
    assert (told["state"], told["plan"]["dropped_rows"]) == ("finished", 2)


def test_every_field_is_there_and_comes_back_as_it_was(run):
    report.write(run)
    assert report.read(run) == figures(collect(run))
    told = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert set(told) == set(Report.model_fields)
    assert told["v"] == 1


def test_a_run_without_a_result(run):
    for name in ("manifest.json", "comparison.json", "receipt.json", "evaluation/base.jsonl"):
        (run.folder / name).unlink()
    found = figures(collect(run))
    assert (found.state, found.comparison, found.receipt, found.answers) == (
        "no result", None, None, {},
    )  # fmt: skip
    with Writer(run.events) as writer:
        writer.emit(Failed(cause="no space", hint="free some", exit_code=8))
    found = figures(collect(run))
    assert found.state == "failed"
    assert found.failure == {
        "cause": "no space", "hint": "free some", "exit_code": 8, "settings": None,
    }  # fmt: skip


def test_launch_report_prints_it(run, capsys):
    assert main(["report", str(run.folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["figures"] == json.loads((run.folder / "report.json").read_text("utf-8"))
    assert main(["report", str(run.folder)]) == 0
    assert "The adapter is better than its base" in capsys.readouterr().out
