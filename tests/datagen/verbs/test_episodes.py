"""`datagen episodes` whole: every source of questions, a teacher over HTTP that misbehaves, kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from threading import Lock

import pytest

from datagen.cli import main
from datagen.episode import Episode, read_episodes
from datagen.episodes.attempts import Solver
from datagen.episodes.proposed_questions import parse
from datagen.models.paid_api import lost_calls, rate_limit
from datagen.prompts.render import as_reply
from datagen.tables.synthetic import synthetic_tables
from datagen.tables.table import profile_table
from tests.openrouter.mishaps import MODERATION, Mishap
from tests.openrouter.server import KEY, OpenRouter

PER_TABLE = 4
AGREED = {
    "question": "How many rows are there?",
    "answer_type": "integer",
    "difficulty": "easy",
    "hint": "len(df)",
}
SCATTERED = {**AGREED, "question": "What is the best row?", "difficulty": "hard"}
HINTED = {**AGREED, "question": "What is the number?", "difficulty": "medium"}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    (path,) = synthetic_tables(tmp_path_factory.mktemp("tables"), count=1, seed=3)
    return path


@pytest.fixture(scope="module")
def questions(table: Path) -> Path:
    """Questions with known answers from both sources, and three without."""
    file = table.parent / "questions.jsonl"
    assert main(["questions", str(table), "--out", str(file), "--per-table", str(PER_TABLE)]) == 0
    tables = json.loads(file.read_text().splitlines()[0])["tables"]
    proposed, _ = parse(f"```json\n{json.dumps([AGREED, SCATTERED, HINTED])}\n```", ["sha"], set())
    lines = [{"question": one.model_dump(), "tables": tables} for one in proposed]
    with file.open("a") as more:
        more.writelines(json.dumps(line) + "\n" for line in lines)
    return file


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("SFT_DATAGEN_OPENROUTER", "yes")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(rate_limit, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(lost_calls, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(lost_calls, "POLL_SECONDS", 0.05)


class Brain:
    """Knows the solutions; proposes a good question, one that has no answer, one only the hint tells."""

    def __init__(self, questions: Path):
        found = [json.loads(line)["question"] for line in questions.read_text().splitlines()]
        self.codes = {q["text"]: q["code"] for q in found if q["known"]}
        self.sources = Counter(q["source"] for q in found)
        self.scattered = 0
        self.lock = Lock()

    def __call__(self, messages) -> str:
        asked = messages[1]["content"]
        if "think up questions" in messages[0]["content"]:
            if len(messages) == 2:
                return as_reply("print(df.describe())")
            return (
                f"```json\n{json.dumps([AGREED, SCATTERED, HINTED, {**AGREED, 'hint': ''}])}\n```"
            )
        text = asked.removeprefix("Question: ").partition("\nSubmit ")[0]
        if text == AGREED["question"]:
            return as_reply("submit(len(df))")
        if text == HINTED["question"]:
            return as_reply("submit(1)" if "Hint: " in asked else "submit(2)")
        if text == SCATTERED["question"]:
            with self.lock:
                self.scattered += 1
                return as_reply(f"submit({self.scattered})")
        return as_reply(self.codes[text])


@pytest.fixture
def brain(questions: Path) -> Brain:
    return Brain(questions)


@pytest.fixture
def fake(brain: Brain):
    with OpenRouter(brain=brain) as server:
        yield server


def command(fake: OpenRouter, out: Path, *more: str) -> list[str]:
    money = ["--max-cost", "1", "--timeout", "5", "--max-tokens", "1000", "--concurrency", "4"]
    return ["episodes", "--out", str(out), "--teacher", fake.url, *money, *more]


def by_text(episodes: list[Episode]) -> dict[str, Episode]:
    return {episode.question.text: episode for episode in episodes}


def test_all_sources_through_a_teacher_that_misbehaves(
    table: Path, brain: Brain, fake: OpenRouter, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr("datagen.episodes.make_episodes.PROPOSED_SHARE", 1)
    fake.script.shares = [
        (0.05, Mishap("status", status=429, retry_after="0.01")),
        (0.05, Mishap("status", status=503)),
        (0.03, Mishap("finish", reason="length")),
        (0.03, Mishap("drop")),
        (0.03, Mishap("error in 200")),
    ]
    out = tmp_path / "out"
    audit = ["--audit", "1", "--audit-model", "qwen/qwen3-32b"]
    count = ["--per-table", str(PER_TABLE)]
    assert main(command(fake, out, str(table), "--json", *count, *audit)) == 0
    told = json.loads(capsys.readouterr().out)
    episodes = read_episodes(out / "episodes.jsonl")
    found = by_text(episodes)

    assert Counter(e.question.source for e in episodes) == brain.sources
    assert all(found[text].verdict.verified for text in brain.codes)
    agreed = found[str(AGREED["question"])]
    assert agreed.verdict.verified
    assert (agreed.question.known, agreed.question.truth) == (False, profile_table(table).rows)
    assert [trace.hinted for trace in agreed.traces][:2] == [True, False]
    assert found[str(SCATTERED["question"])].verdict.category in {"too hard", "no submit"}
    assert found[str(HINTED["question"])].verdict.category in {"hint necessary", "no submit"}

    for episode in episodes:
        assert episode.provenance.model == "openai/gpt-oss-120b"
        assert episode.provenance.prompt == "full"
        assert episode.provenance.licence == "Apache-2.0"
        assert episode.provenance.sampling
        if episode.verdict.verified:
            assert episode.audit is not None
            assert episode.audit.model == "qwen/qwen3-32b"
    assert (told["episodes"], told["verified"]) == (
        len(episodes),
        sum(e.verdict.verified for e in episodes),
    )
    assert told["proposals_dropped"] == {"no hint": 1}
    believed = Decimal(str(told["spent"]))
    assert abs(believed - fake.bill.total) < Decimal("1e-9")
    assert told["uncertain"] == 0
    assert not (out / "episodes.journal.jsonl").exists()


def test_a_flagged_question_and_thoughts_alone_cost_only_their_question(
    questions: Path, brain: Brain, fake: OpenRouter, tmp_path: Path, capsys
):
    """The model thinks in its content, with a block of code, as servers without a parser send it."""
    fake.brain = lambda messages: (
        f"<think>\nhm\n{as_reply('submit(0)')}\n</think>\n{brain(messages)}"
    )
    fake.will(Mishap("status", status=403, message="flagged", metadata=MODERATION))
    fake.will(Mishap("thoughts"))
    out, rows = tmp_path / "out", tmp_path / "rows.jsonl"
    assert main(command(fake, out, "--questions", str(questions), "--attempts", "2")) == 0
    episodes = read_episodes(out / "episodes.jsonl")
    refused = [e for e in episodes if any(trace.refused for trace in e.traces)]
    verified = [e for e in episodes if e.verdict.verified]
    assert len(episodes) == brain.sources.total()
    assert len(refused) == 1
    assert len(verified) >= len(brain.codes) - 1
    told = capsys.readouterr().out
    assert f"dropped: {refused[0].question.text} (refused: HTTP 403: flagged (violence))" in told
    assert "attempts without a usable reply: refused 1, thoughts and no text 1" in told
    assert main(["export", str(out / "episodes.jsonl"), "--out", str(rows)]) == 0
    assert rows.read_text().count('"role"') > len(verified)
    assert "think>" not in rows.read_text()


def test_a_spent_budget_ends_the_run_and_a_higher_one_goes_on(
    questions: Path, brain: Brain, fake: OpenRouter, tmp_path: Path, capsys
):
    out, total = tmp_path / "out", brain.sources.total()
    usual = command(fake, out, "--questions", str(questions), "--concurrency", "1")
    small = ["--max-cost", "0.0011"]
    assert main([*usual, *small]) == 15
    first = capsys.readouterr()
    assert fake.bill.total <= Decimal("0.0011")
    some = read_episodes(out / "episodes.jsonl")
    assert 0 < len(some) < total
    assert f"{len(some)} of {len(some)} episodes verified" in first.out
    assert main(usual) == 0
    assert len(read_episodes(out / "episodes.jsonl")) == total
    assert max(requests_of(fake).values()) == 1
    assert main(usual) == 5  # done: nothing is overwritten


def test_recorded_calls_teach_again_without_a_network(
    table: Path, fake: OpenRouter, tmp_path: Path
):
    wanted = [str(table), "--source", "proposed", "--per-table", str(PER_TABLE)]
    assert main(command(fake, tmp_path / "a", *wanted)) == 0
    paid = fake.bill.total
    recorded = ["--teacher", f"recorded:{tmp_path / 'a' / 'calls.jsonl'}"]
    again = command(fake, tmp_path / "b", *wanted, *recorded)
    assert main([*again, "--base-url", fake.url]) == 0
    assert fake.bill.total == paid
    one, two = (by_text(read_episodes(tmp_path / f / "episodes.jsonl")) for f in ("a", "b"))
    assert {text: e.verdict for text, e in one.items()} == {t: e.verdict for t, e in two.items()}


def test_killed_again_and_again_no_answered_call_is_paid_twice(
    questions: Path, brain: Brain, fake: OpenRouter, tmp_path: Path
):
    fake.latency = 0.1
    out = tmp_path / "out"
    arguments = command(fake, out, "--questions", str(questions), "--concurrency", "2")
    kills = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-m", "datagen", *arguments],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        answered, started = fake.asked, time.monotonic()
        while process.poll() is None and time.monotonic() - started < 120:
            if kills < 3 and fake.asked >= answered + 3:
                time.sleep(0.05 * kills)
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        text = process.communicate(timeout=60)[0].decode()
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0, text
    assert kills == 3
    repeated = sum(times - 1 for times in requests_of(fake).values())
    assert repeated <= 2 * kills  # only those under way at a kill
    episodes = read_episodes(out / "episodes.jsonl")
    assert len({e.id for e in episodes}) == len(episodes) == brain.sources.total()


def requests_of(fake: OpenRouter) -> Counter[str]:
    """How often each call was sent."""
    return Counter(json.dumps([r["session_id"], r["messages"]]) for r in fake.requests)


@pytest.mark.parametrize("torn", [0.0, 0.5, 1.0])
def test_cut_off_at_every_write_of_the_journal(
    questions: Path, brain: Brain, tmp_path: Path, monkeypatch, torn
):
    """The run ends before, in the middle of, or just after each write; run again, it misses nothing."""
    from datagen.episodes.journal import Journal

    out = tmp_path / "out"
    written: list[str] = []
    append = Journal.append

    class CutOffError(Exception):
        pass

    def cut_off(self, episodes):
        lines = b"".join(episode.model_dump_json().encode() + b"\n" for episode in episodes)
        with self.path.open("ab") as file:
            file.write(lines[: round(torn * len(lines))])
        if len(written) >= total:
            raise AssertionError("asked again what was done")
        written.extend(episode.id for episode in episodes)
        raise CutOffError

    total = brain.sources.total()
    scripted = ["--questions", str(questions), "--teacher", "scripted"]
    arguments = ["episodes", "--out", str(out), *scripted]
    monkeypatch.setitem(Solver.__init__.__kwdefaults__, "concurrency", 1)
    monkeypatch.setattr(Journal, "append", cut_off)
    for cuts in range(1, total + 1 if torn == 1.0 else 3):
        assert main(arguments) == 1
        on_disk = len(read_lines(out / "episodes.journal.jsonl"))
        assert on_disk == (cuts if torn == 1.0 else 0)
    monkeypatch.setattr(Journal, "append", append)
    assert main(arguments) == 0
    episodes = read_episodes(out / "episodes.jsonl")
    assert len({e.id for e in episodes}) == len(episodes) == total


def read_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_questions_of_a_file_are_asked_from_wherever_it_lies(
    table: Path, questions: Path, brain: Brain, tmp_path: Path, capsys
):
    out = tmp_path / "deep" / "out"
    asked = ["--out", str(out), "--teacher", "scripted"]
    assert main(["episodes", "--questions", str(questions), *asked]) == 0
    episodes = read_episodes(out / "episodes.jsonl")
    assert len(episodes) == brain.sources.total()
    assert sum(e.verdict.verified for e in episodes) == len(brain.codes)
    assert (out / episodes[0].tables[0].path).resolve() == table.resolve()
    bad = tmp_path / "bad.jsonl"
    bad.write_text(questions.read_text() + '{"question": 1}\n')
    refused = ["--out", str(tmp_path / "new"), "--teacher", "scripted"]
    assert main(["episodes", "--questions", str(bad), *refused]) == 3
    assert f"{bad}:{len(episodes) + 1}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--source", "proposed", "--teacher", "scripted"], 2, "calls no model"),
        (["--questions", "q.jsonl"], 2, "leave out one of them"),
        (["--teacher", "nobody"], 2, "not scripted"),
        (["--audit", "2"], 2, "not a share"),
    ],
)
def test_what_makes_no_sense_is_refused(table: Path, tmp_path: Path, capsys, arguments, code, said):
    assert main(["episodes", str(table), "--out", str(tmp_path / "out"), *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_file_in_the_folders_place_is_refused_first(table: Path, capsys):
    assert main(["episodes", str(table), "--out", str(table), "--teacher", "scripted"]) == 5
    assert capsys.readouterr().err.startswith(f"error: {table} is a file")


def test_without_a_key_it_says_what_to_do(table: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.delenv("OPENROUTER_API_KEY")
    assert main(["episodes", str(table), "--out", str(tmp_path / "out")]) == 16
    error = capsys.readouterr().err
    assert "export OPENROUTER_API_KEY" in error
    assert "--teacher scripted" in error


def test_no_table_and_no_questions(tmp_path: Path, capsys):
    assert main(["episodes", "--out", str(tmp_path / "out"), "--teacher", "scripted"]) == 2
    names = tmp_path / "names.csv"
    names.write_text("who\nA\nB\nC\n", "utf-8")
    basic = ["--families", "basic", "--teacher", "scripted", "--out", str(tmp_path / "out")]
    assert main(["episodes", str(names), *basic]) == 3
    assert "no question" in capsys.readouterr().err


def test_ctrl_c_leaves_what_there_is_and_says_how_to_go_on(
    questions: Path, tmp_path: Path, monkeypatch, capsys, request
):
    from datagen.episodes.scripted_teacher import scripted_teacher

    class Impatient:
        name = "scripted"

        def __init__(self, teacher):
            self.teacher, self.asked = teacher, 0

        async def reply(self, messages, *, session):
            self.asked += 1
            if self.asked > 5:
                os.kill(os.getpid(), signal.SIGINT)
            return await self.teacher.reply(messages, session=session)

    monkeypatch.setitem(Solver.__init__.__kwdefaults__, "concurrency", 1)
    arguments = ["episodes", "--questions", str(questions), "--out", str(tmp_path / "out")]
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with monkeypatch.context() as patched:
        patched.setattr(
            "datagen.episodes.scripted_teacher.scripted_teacher",
            lambda tasks, seed: Impatient(scripted_teacher(tasks, seed=seed)),
        )
        assert main([*arguments, "--teacher", "scripted"]) == 130
    assert "run the same command to continue" in capsys.readouterr().err
    some = read_episodes(tmp_path / "out" / "episodes.jsonl")
    assert main([*arguments, "--teacher", "scripted"]) == 0
    all_of_them = read_episodes(tmp_path / "out" / "episodes.jsonl")
    assert 0 < len(some) < len(all_of_them)
    assert {e.id for e in some} <= {e.id for e in all_of_them}
