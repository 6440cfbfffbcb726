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
    loss, curves = embedded(page, "chart-data")["loss"]["data"], told["curves"]
    assert (loss[0]["x"], loss[0]["y"]) == (curves["step"], curves["loss"])
    assert (loss[1]["x"], loss[1]["y"]) == (curves["eval_step"], curves["eval_loss"])
    rate = embedded(page, "chart-data")["rate"]["data"]
    assert rate[0]["y"] == curves["tokens_per_second"]
    assert rate[1]["y"] == curves["trained_tokens_per_second"]
    bars = embedded(page, "chart-data")["lengths"]["data"][0]
    assert [list(pair) for pair in zip(bars["x"], bars["y"], strict=True)] == told["lengths"]
    shown = [pair["outcome"] for pair in embedded(page, "transcript-data")]
    assert told["answers"] == {name: shown.count(name) for name in set(shown)}
    assert told["answers"]["won"] == 2
    cells = re.search(r"all questions<td>(.*?)</tr>", page)
    assert cells
    n, base, adapter, difference, wins, losses = cells[1].split("<td>")
    all_ = told["comparison"]
    assert [int(n), int(wins), int(losses)] == [all_["n"], all_["wins"], all_["losses"]]
    assert [float(base), float(adapter), float(difference)] == [
        all_[name] for name in ("base", "adapter", "difference")
    ]
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
    assert "the adapter is BETTER" in capsys.readouterr().out
