"""`datagen evaluate` whole: weights here, a model behind an API, the ceiling, kills, judging again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datagen.cli import main
from datagen.episode import read_episodes
from datagen.episodes.attempts import Task
from datagen.prompts.render import as_reply
from tests.openrouter.server import KEY, OpenRouter
from trainer.contract.command.errors import NotFound

ROOT = Path(__file__).parents[3]
TINY = ROOT / "trainer" / "tiny" / "model"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("SFT_DATAGEN_OPENROUTER", "yes")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def fake(tasks: list[Task]):
    """Knows every question's solution."""
    codes = {task.question.text: task.question.code for task in tasks}

    def brain(messages) -> str:
        code = next(c for text, c in codes.items() if messages[1]["content"].endswith(text))
        return as_reply(code or "")

    with OpenRouter(brain=brain) as server:
        yield server


def evaluated(capsys, *arguments: object) -> Any:
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: object) -> tuple[int, str]:
    code = main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


def test_an_adapter_alone_is_one_model_and_another_model_is_no_adapter(
    run: Path, episodes: Path, capsys, tmp_path: Path
):
    out = tmp_path / "out"
    found = evaluated(
        capsys, "--model", run, "--episodes", episodes, "--out", out, "--alone", "--limit", 2
    )
    assert (found["n"], found["finished"]) == (2, True)
    assert "+ adapter" in found["model"]
    assert {path.name for path in out.iterdir()} == {"result.json", "evaluation"}
    assert {path.name for path in (out / "evaluation").iterdir()} == {"model.jsonl"}
    code, said = refused(capsys, "--model", TINY, "--episodes", episodes, "--alone")
    assert code == 2
    assert "is not an adapter" in said


def test_a_run_folder_as_the_trainer_asks_and_its_transcripts_again(
    run: Path, episodes: Path, capsys, tmp_path: Path
):
    found = evaluated(capsys, "--model", run, "--episodes", episodes, "--out", run)
    whole = json.loads((run / "comparison.json").read_text())
    assert found == whole
    assert (found["n"], found["difference"], found["mcnemar_p"]) == (13, 0.0, 1.0)
    assert "no significant difference" in found["verdict"]
    assert found["models"]["adapter"].startswith(f"{found['models']['base']} + adapter ")
    code, text = refused(capsys, "--model", run, "--episodes", episodes)
    assert code == 5
    assert "already exists" in text
    assert f"launch report {run}" in text
    # Judged again and compared again, with no model.
    again = tmp_path / "again"
    for name in ("base", "adapter"):
        out = again / "evaluation" / f"{name}.jsonl"
        saved = run / "evaluation" / f"{name}.jsonl"
        assert main(["score", str(saved), "--out", str(out)]) == 0
        table = read_episodes(out)[0].tables[0]
        assert (out.parent / table.path).resolve() == (episodes.parent / "shop.csv").resolve()
    shutil.rmtree(run / "adapter")
    capsys.readouterr()
    assert main(["compare", str(again), "--out", str(again / "comparison.json")]) == 0
    assert json.loads((again / "comparison.json").read_text()) == whole


def test_tables_that_the_sandbox_cannot_see_are_named_before_a_model_is_loaded(
    run: Path, episodes: Path, capsys, tmp_path: Path, monkeypatch
):
    place, seen = tmp_path / "socket", tmp_path / "seen"
    command = ["-m", "datagen.sandbox", "serve", "--socket", place, "--tables", seen]
    with subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT) as service:
        monkeypatch.setenv("SFT_SANDBOX", f"unix:{place}")
        try:
            code, said = refused(capsys, "--model", run, "--episodes", episodes)
        finally:
            service.terminate()
    assert code == NotFound.exit_code
    assert f"{episodes.parent.resolve() / 'shop.csv'}: outside the folders" in said
    assert f"move the tables to {seen}" in said
    assert "loading" not in said
    assert not (run / "evaluation").exists()


def test_a_whole_model_alone_is_measured(episodes: Path, capsys, tmp_path: Path):
    out = tmp_path / "out"
    found = evaluated(capsys, "--model", TINY, "--episodes", episodes, "--out", out, "--limit", 3)
    assert found == json.loads((out / "result.json").read_text())
    assert (found["n"], found["model"]) == (3, str(TINY))
    assert not (out / "comparison.json").exists()
    # Without --out, a folder of its name.
    found = evaluated(capsys, "--model", "bundled:tiny", "--episodes", episodes, "--limit", 3)
    assert found == json.loads(Path("evaluations/bundled-tiny/result.json").read_text())


def test_a_model_behind_an_api_is_paid_once(episodes: Path, fake, capsys, tmp_path: Path):
    model = next(iter(fake.models))
    common = ["--model", model, "--episodes", episodes, "--out", tmp_path / "out"]
    common += ["--base-url", fake.url, "--max-cost", 1, "--tokens", 500]
    found = evaluated(capsys, *common)
    assert (found["model"], found["accuracy"]) == (model, 1.0)
    assert found["effort"]["cost_per_correct"] > 0
    asked = fake.asked
    assert evaluated(capsys, *common, "--overwrite")["accuracy"] == 1.0
    assert fake.asked == 2 * asked  # --overwrite asks again
    (tmp_path / "out" / "result.json").unlink()
    (tmp_path / "out" / "evaluation" / "model.jsonl").unlink()
    assert evaluated(capsys, *common)["accuracy"] == 1.0
    assert fake.asked == 2 * asked  # what was paid for is in the ledger


def test_the_limit_on_tokens_is_a_budget(episodes: Path, fake, capsys, tmp_path: Path):
    model = next(iter(fake.models))
    common = ["--model", model, "--episodes", episodes, "--out", tmp_path / "out"]
    common += ["--base-url", fake.url, "--max-cost", 1, "--tokens", 500, "--concurrency", 1]
    code, said = refused(capsys, *common, "--max-total-tokens", 1)
    assert code == 15
    assert "model: 11 questions were not started" in said  # two are open, for one call at a time
    assert "a higher --max-total-tokens" in said
    asked = fake.asked
    assert evaluated(capsys, *common, "--max-total-tokens", 10**6)["finished"]
    assert 2 * fake.asked == asked * 13


def test_the_ceiling_beside_base_and_adapter(run, episodes, fake, capsys):
    model = next(iter(fake.models))
    found = evaluated(
        capsys, "--model", run, "--episodes", episodes, "--ceiling", model, "--base-url", fake.url,
        "--max-cost", 1, "--tokens", 500, "--limit", 4, "--floor",
    )  # fmt: skip
    assert (found["ceiling"]["model"], found["ceiling"]["accuracy"]) == (model, 1.0)
    assert found["floor"]["adapter"]["n"] == 4
    assert main(["compare", str(run)]) == 0
    told = capsys.readouterr().out
    assert f"ceiling: {model} 1.000 of 4" in told
    assert "floor (tables emptied), 4 questions: base 0.000" in told


def test_killed_anywhere_it_repeats_no_finished_question(run, episodes, tmp_path: Path):
    """SIGKILL as soon as something is on disk; the second run asks the rest."""
    transcript = run / "evaluation" / "base.jsonl"
    command = [sys.executable, "-m", "datagen", "evaluate", "--model", str(run)]
    command += ["--episodes", str(episodes), "--turns", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    first = start()
    while first.poll() is None and not (transcript.exists() and transcript.stat().st_size):
        time.sleep(0.002)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    kept = transcript.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    assert kept
    second = start()
    _, error = second.communicate()
    assert second.returncode == 0, error.decode()
    whole = transcript.read_bytes()
    assert whole.startswith(kept)
    asked = [episode.question.id for episode in read_episodes(transcript)]
    assert len(asked) == len({*asked}) == 13
    assert json.loads((run / "comparison.json").read_text())["n"] == 13


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_keeps_what_was_answered_and_says_how_to_go_on(run, episodes, number):
    """At once, although replies are being written."""
    transcript = run / "evaluation" / "base.jsonl"
    command = [sys.executable, "-m", "datagen", "evaluate", "--model", str(run)]
    command += ["--episodes", str(episodes)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (transcript.exists() and transcript.stat().st_size):
        time.sleep(0.002)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    kept = len(read_episodes(transcript))
    lines = error.decode().splitlines()
    assert lines[0] == f"loading {run}; 13 questions"
    assert "base: 0/13" in lines
    assert lines[-2] == f"error: interrupted; {kept} answers are kept in {run / 'evaluation'}"
    assert "run the same command again: it continues with the missing questions" in lines[-1]


def test_the_seeds_line(run, episodes, tmp_path, monkeypatch):
    """From a checkout, as a process: `python -m datagen evaluate --model ./checkpoints ...`."""
    run.rename(tmp_path / "project" / "checkpoints")
    command = [sys.executable, "-m", "datagen", "evaluate", "--model", "./checkpoints"]
    command += ["--episodes", os.path.relpath(episodes), "--limit", "2", "--turns", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no significant difference" in done.stdout
    assert json.loads(Path("checkpoints/comparison.json").read_text())["n"] == 2


def test_what_is_no_model_is_said_first(episodes, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, text = refused(capsys, "--model", "nope", "--episodes", episodes)
    assert code == 7
    assert "error: model nope: not a folder here, and the hub failed: " in text
    assert not Path("evaluations").exists()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--seeds", "3"], 2, "--seeds at temperature 0 repeats the same answers"),
        (["--model", "./nowhere"], 11, "no adapter found"),
        (["--base", "bundled:huge"], 11, "unknown bundled model"),
        (["--episodes", "gone.jsonl"], 11, "gone.jsonl: no such file"),
        (["--out", __file__], 5, "test_evaluate.py is a file"),
    ],
)
def test_what_cannot_be_evaluated(run, episodes, capsys, flags, code, said):
    found, text = refused(capsys, "--model", run, "--episodes", episodes, *flags)
    assert found == code
    assert said in text
    assert not (run / "evaluation").exists()


def test_episodes_of_another_version_and_changed_tables(run, episodes: Path, capsys):
    lines = episodes.read_text()
    episodes.write_text(lines.replace('{"v":1', '{"v":9', 1))
    code, text = refused(capsys, "--model", run, "--episodes", episodes)
    assert code == 3
    assert "test.jsonl:1: v: unknown version 9: this datagen reads version 1" in text
    episodes.write_text(lines)
    (episodes.parent / "shop.csv").write_text("city\nUlm\n")
    code, text = refused(capsys, "--model", run, "--episodes", episodes)
    assert code == 3
    assert "has changed" in text
    assert not (run / "evaluation").exists()
