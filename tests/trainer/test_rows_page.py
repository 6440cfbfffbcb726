"""docs/rows.md is true: its rows are read, its table of families is what the templates give, its checks exist."""

import json
import re

from tests.bench.templates import END, PAGE, START, results, table
from trainer.contract import row_keys
from trainer.contract.rows import read_rows
from trainer.data.check import PASSED

TEXT = PAGE.read_text("utf-8")


def test_every_row_of_the_page_is_read_without_a_note(tmp_path):
    (rows,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "rows.jsonl"
    path.write_text(rows)
    found = read_rows(path)
    assert len(found.rows) == len(rows.splitlines()) > 10
    assert found.notes == ()
    answers = {row.messages[-1]["content"] for row in found.rows}
    assert answers <= {"4", "It is 1.", "No, 4.", "<think>\nTwo and two.\n</think>\n\n4"}
    assert all(isinstance(json.loads(line), dict) for line in rows.splitlines())


def test_the_table_of_families_is_what_their_templates_give():
    found = results()
    assert TEXT.partition(START)[2].partition(END)[0] == table(found)
    every = [one for kinds in found.values() for one in kinds.values()]
    assert not [one for one in every if one.startswith("wrong")]


def test_every_check_and_every_key_is_on_the_page():
    for name in (*PASSED, "keys", "date", "lengths", "packing", "duplicates", "held-out rows"):
        assert re.search(rf"^\| {name}( \(warning\))? \|", TEXT, re.MULTILINE), name
    keys = {*row_keys.ROW_READ, *row_keys.MESSAGE_READ} - {
        "role",
        "content",
        "from",
        "value",
        "episode",
    }
    missing = [key for key in keys if f"`{key}`" not in TEXT and f'"{key}"' not in TEXT]
    assert missing == []
