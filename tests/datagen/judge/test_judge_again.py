import json
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.episode import (
    Audit,
    Episode,
    Provenance,
    Question,
    TableRef,
    Trace,
    Turn,
    Verdict,
    read_episodes,
    write_episodes,
)
from datagen.judge.judge_again import RejudgedCounts, judge_again, judge_all_again


def attempt(answer, *, hinted=False, agrees=None) -> Trace:
    turn = Turn(reply="x", code="x", submitted=True, answer=answer)
    return Trace(opening=[], turns=[turn], hinted=hinted, agrees=agrees)


def episode(truth, *traces: Trace, verified: bool, known=True, rule="number", **more) -> Episode:
    question = Question(
        id="q",
        text="What is it?",
        answer_type="number",
        decimals=1,
        source="template" if known else "proposed",
        family="f",
        difficulty="easy",
        known=known,
        truth=truth,
    )
    return Episode(
        id="e",
        question=question,
        tables=[TableRef(name="t", path="t.csv", sha256="0", rows=1, columns=[])],
        traces=[*traces],
        verdict=Verdict(verified=verified, rule=rule),
        provenance=Provenance(
            model="m", prompt_sha256="", sandbox_level="full", seed=0, versions={}
        ),
        **more,
    )


GOLD = attempt(1.0, hinted=True)
RUNS = [attempt(1.0), attempt(1.04), attempt(3.0), attempt("1.0")]
CASES = [
    (episode(1.0, attempt(2.0), attempt("1.0"), verified=False), True),
    (episode(1.0, attempt(1.2), verified=True), False),
    (episode(None, GOLD, *RUNS, known=False, verified=False, rule="majority"), True),
    (episode(1.0, GOLD, *RUNS[1:3], known=False, verified=True, rule="majority"), False),
    (episode(None, attempt("one", hinted=True), known=False, verified=True), False),
]


@pytest.mark.parametrize(("old", "verified"), CASES)
def test_the_verdict_is_today_s(old: Episode, verified: bool):
    new = judge_again(old)
    assert new is not None
    assert new.verdict.verified == verified
    assert (new.verdict.category is None) == verified
    if not new.question.known:
        assert new.question.truth == (1.0 if verified else None)
    assert judge_again(new) == new


def test_too_few_attempts_verify_nothing():
    again = judge_again(episode(1.0, GOLD, *RUNS[:2], known=False, verified=True, rule="majority"))
    assert again is not None
    assert not again.verdict.verified
    assert again.verdict.detail == "2 of 2 agree with the attempt with the hint, too few to decide"


def test_what_cannot_be_judged_is_left_as_it_is():
    ungold = episode(None, attempt(1.0), known=False, verified=True)
    unfit = episode("one", attempt(1.0), verified=True)
    empty = episode(1.0, verified=True)
    tally = RejudgedCounts()
    assert [*judge_all_again([ungold, unfit, empty], tally)] == [ungold, unfit, empty]
    assert (tally.left, tally.now, tally.before) == (3, 3, 3)


def test_the_audit_is_judged_again_too():
    audit = Audit(model="b", trace=attempt(1.03), agrees=False)
    again = judge_again(episode(1.0, attempt(1.0), verified=True, audit=audit))
    assert again is not None
    assert again.audit is not None
    assert again.audit.agrees


def test_the_verb_says_what_changed_and_writes_elsewhere(tmp_path: Path, capsys):
    path, out = tmp_path / "a" / "episodes.jsonl", tmp_path / "b" / "new.jsonl"
    path.parent.mkdir()
    write_episodes(path, [case for case, _ in CASES])
    before = path.read_bytes()
    assert main(["score", str(path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "e: verified now (number): What is it?" in said
    assert "e: no longer verified" in said
    assert "2 of 5 episodes verified, 3 before; 5 verdicts and" in said
    assert path.read_bytes() == before
    scored = read_episodes(out)
    assert [e.verdict.verified for e in scored] == [verified for _, verified in CASES]
    assert scored[0].tables[0].path == "../a/t.csv"
    assert main(["score", str(path), "--out", str(out)]) == 5
    capsys.readouterr()
    assert main(["score", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["changes"], told["now"], told["episodes"]) == ([], 2, 5)
