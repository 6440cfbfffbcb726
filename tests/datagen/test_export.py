from pathlib import Path

from datagen.export import export
from datagen.generate import Task, attempt_all
from datagen.models import ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.template import script
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
        [first, second], ScriptedTeacher(scripts), seed=0, journal=tmp_path / "j"
    )
    path = tmp_path / "rows.jsonl"
    assert export(episodes, path) == 1
    (row,) = read_rows(path).rows
    said = [(m["role"], m["content"]) for m in row.messages]
    assert said == [(m.role, m.content) for m in episodes[0].traces[0].messages()]
    weights = [m["weight"] for m in row.messages if m["role"] == "assistant"]
    assert weights == [0, 1, 1]
