from pathlib import Path

from trainer.contract.data_faults import LONGEST, Faults, quote

FILE = Path("rows.jsonl")


def test_faults_of_one_cause_are_one_line():
    faults = Faults(FILE)
    for line in range(1, 8):
        faults.add(line, f"message {line}: unknown role 'r{line}': use one of user, tool")
    faults.add(9, "no role: give it one")
    assert len(faults) == 8
    assert faults.grouped() == [
        "rows.jsonl:1: message 1: unknown role 'r1': use one of user, tool (7 faults; lines 1, 2, 3, 4, 5, ...)",
        "rows.jsonl:9: no role: give it one",
    ]
    assert len(faults.every()) == 8


def test_names_of_keys_tell_causes_apart():
    faults = Faults(FILE)
    faults.add(1, "'tools' is null: write a list")
    faults.add(2, "'messages' is null: write a list")
    assert len(faults.grouped()) == 2


def test_no_fault_is_long():
    faults = Faults(FILE)
    faults.add(1, "x" * 10**6)
    assert len(faults.every()[0]) < LONGEST + 20
    assert not Faults(FILE)


def test_a_quoted_value_is_short():
    for value in ("r" * 10**6, ["r" * 10**6], {"r": "r" * 10**6}):
        assert len(quote(value)) <= 64
    assert quote("robot") == "'robot'"
