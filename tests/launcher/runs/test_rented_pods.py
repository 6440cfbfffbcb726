"""The names of pods: read as they were written, and nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.runs.rented_pods import Name, machine_id
from launcher.world import World

RUNS = st.text("aZ09._-", min_size=1, max_size=30)


def test_a_name_is_read_as_it_was_written():
    name = Name("csv-7-1800000000-1", "0123abcd", 1_800_000_000, 12)
    assert str(name) == "sft-csv-7-1800000000-1-0123abcd-1800000000-12"
    assert Name.parse(str(name)) == name


@given(RUNS, st.integers(10**8, 10**11 - 1), st.integers(0, 99))
def test_every_name_is_read_as_it_was_written(run, gone_by, attempt):
    name = Name(run, "0123abcd", gone_by, attempt)
    assert Name.parse(str(name)) == name


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "my-pod",
        "sft-a-0123abcd-1800000000",
        "sft-a-0123abc-1800000000-1",
        "sft-a-0123abcd-18-1",
    ],
)
def test_a_name_of_another_kind_is_not_ours(foreign):
    assert Name.parse(foreign) is None


def test_a_machine_keeps_its_id():
    world = World()
    assert machine_id(world) == machine_id(world)
    assert len(bytes.fromhex(machine_id(world))) == 4


def test_a_machine_gets_an_id_whether_its_folder_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "not" / "yet"))
    first = machine_id(World())
    (World().state_folder() / "machine").unlink()
    assert len(machine_id(World())) == len(first) == 8
