import json
from pathlib import Path

import pytest

from datagen.dataset.export import ExportRules, export
from datagen.episode import Episode, Message, Provenance, Question, TableRef, Trace, Turn, Verdict
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import attempt_all
from datagen.models.protocol import ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.basic import script
from tests.datagen.answered import solver
from trainer.contract.command.errors import BadData, Usage
from trainer.contract.rows import read_rows


def test_rows_are_the_messages_of_the_trace_and_slips_are_not_trained(
    tasks: list[Task], tmp_path: Path
):
    first, second = tasks[:2]
    scripts = {
        opening(first.question, first.tables)[-1].content: [
            as_reply("submit(df['cty'])"),
            as_reply("print(1)"),
            as_reply(script(first.question)),
        ],
        opening(second.question, second.tables)[-1].content: [as_reply("submit('wrong')")],
    }
    episodes = attempt_all(
        [first, second], solver(ScriptedTeacher(scripts)), journal=tmp_path / "j"
    )
    path = tmp_path / "rows.jsonl"
    assert export(episodes, path).rows == 1
    (row,) = read_rows(path).rows
    said = [(m["role"], m["content"]) for m in row.messages]
    assert said == [(m.role, m.content) for m in episodes[0].traces[0].messages()]
    weights = [m["weight"] for m in row.messages if m["role"] == "assistant"]
    assert weights == [0, 1, 1]


def attempt(code: str, *, agrees: bool = True, hinted: bool = False) -> Trace:
    turn = Turn(reply=as_reply(code), code=code, submitted=True, answer=1)
    return Trace(
        opening=[Message(role="user", content="?" + " hint" * hinted)],
        turns=[turn],
        agrees=agrees,
        hinted=hinted,
    )


def episode(number: int, *traces: Trace, family: str = "f", verified: bool = True) -> Episode:
    question = Question(
        id=f"q{number}", text="?", answer_type="integer", source="proposed", family=family,
        difficulty="easy", known=False,
    )  # fmt: skip
    return Episode(
        id=f"e{number}",
        question=question,
        tables=[TableRef(name="t", path="t.csv", sha256="0", rows=1, columns=[])],
        traces=[*traces],
        verdict=Verdict(verified=verified, rule="majority"),
        provenance=Provenance(
            model="m", prompt_sha256="p", sandbox_level="full", seed=0, versions={}
        ),
    )


def test_what_each_rule_leaves_out_is_counted(tmp_path: Path):
    traces = [
        attempt("submit(0)", hinted=True),
        attempt("x = 1\nsubmit(x)"),
        attempt("y = 1  # the same\nsubmit(y)"),
        attempt("submit(2)", agrees=False),
        *(attempt(f"submit({n} - {n - 1})") for n in range(10, 15)),
    ]
    done = export([episode(1, *traces), episode(2, verified=False)], tmp_path / "rows.jsonl")
    assert done.rows == 4
    assert +done.left_out == {
        "attempt saw the hint": 1,
        "same code as another attempt": 1,
        "attempt not right": 1,
        "over the limit per question": 2,
        "episode not verified": 1,
    }


@pytest.mark.parametrize("rules", [ExportRules(per_family=3), ExportRules(per_table=3)])
def test_caps_choose_among_all_questions_and_keep_their_order(rules: ExportRules, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    done = export([episode(n, attempt(f"submit({n})")) for n in range(40)], path, rules=rules)
    kept = [json.loads(line)["episode"] for line in path.read_text().splitlines()]
    assert done.rows == len(kept) == 3
    assert kept == sorted(kept, key=lambda name: int(name[1:]))
    assert kept != ["e0", "e1", "e2"]


def test_wrong_attempts_become_preference_pairs_with_the_same_prompt(tmp_path: Path):
    traces = [attempt("submit(1)"), attempt("submit(2)", agrees=False)]
    hinted = attempt("submit(3)", agrees=False, hinted=True)
    export([episode(1, *traces, hinted)], tmp_path / "r", rejected=tmp_path / "pairs")
    (pair,) = [json.loads(line) for line in (tmp_path / "pairs").read_text().splitlines()]
    assert pair["chosen"][0]["content"] == as_reply("submit(1)")
    assert pair["rejected"][0]["content"] == as_reply("submit(2)")


def test_the_folder_is_made(tmp_path: Path):
    path, pairs = tmp_path / "rows" / "r.jsonl", tmp_path / "pairs" / "new" / "p.jsonl"
    export([episode(1, attempt("submit(1)"))], path, rejected=pairs)
    assert len(path.read_text().splitlines()) == 1
    assert pairs.is_file()


def test_no_row_and_a_folder_are_refused_and_nothing_is_written(tmp_path: Path):
    with pytest.raises(BadData, match="no rows to export") as refused:
        export([episode(1, attempt("submit(1)"), verified=False)], tmp_path / "rows.jsonl")
    assert [*refused.value.faults] == ["1 left out: episode not verified"]
    with pytest.raises(Usage, match="is a folder"):
        export([episode(1, attempt("submit(1)"))], tmp_path / "r", rejected=tmp_path)
    assert not [*tmp_path.iterdir()]
