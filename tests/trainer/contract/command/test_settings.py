"""One file, several commands: each reads its own part of it and leaves the rest alone."""

import argparse
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from trainer.contract.command.errors import BadJob
from trainer.contract.command.settings import Declared, config_folder


class Top(BaseModel):
    model_config = ConfigDict(extra="forbid")
    gpu: str = Field("A10G", description="card, 100% rented")


class Teacher(BaseModel):
    model_config = ConfigDict(extra="forbid")
    teacher_model: str = Field("a", description="model")
    max_cost: float = Field(2.0, gt=0, description="most to spend")
    price: str = Field("", description="stated prices")


TOP = Declared(kind=Top, table=None, prefix="SFT_", listing="x --help")
TEACHER = Declared(kind=Teacher, table="datagen", prefix="SFT_DATAGEN_", listing="y --help")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(declared, text="", variables=None, flags=None):
    Path("launch.toml").write_text(text)
    lookup = (variables or {}).get
    return declared.read(flags or {}, variable=lambda name: lookup(name, ""), folder=Path("none"))


def test_the_byte_order_mark_of_an_editor_is_left_out():
    assert read(TOP, "\ufeffgpu = 'L4'\n")[0] == Top(gpu="L4")


def test_each_reads_its_own_part():
    text = 'gpu = "L4"\n[datagen]\nmax_cost = 5\n'
    assert read(TOP, text)[0] == Top(gpu="L4")
    assert read(TEACHER, text) == (Teacher(max_cost=5), {"max_cost": "launch.toml"})


def test_the_later_source_wins():
    text = '[datagen]\nmax_cost = 5\nteacher_model = "b"'
    variables = {"SFT_DATAGEN_MAX_COST": "6", "SFT_MAX_COST": "7"}
    assert read(TEACHER, text, variables)[0] == Teacher(teacher_model="b", max_cost=6)
    parser = argparse.ArgumentParser()
    TEACHER.add_flags(parser)
    flags = TEACHER.given(parser.parse_args(["--max-cost", "8"]))
    found, sources = read(TEACHER, text, variables, flags)
    assert found.max_cost == 8
    assert sources == {"max_cost": "--max-cost", "teacher_model": "launch.toml"}


def test_the_users_own_file_comes_before_the_projects(tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "launch.toml").write_text('[datagen]\nmax_cost = 5\nteacher_model = "b"')
    Path("launch.toml").write_text("[datagen]\nmax_cost = 6")
    found, _ = TEACHER.read({}, variable=lambda _: "", folder=folder)
    assert found == Teacher(teacher_model="b", max_cost=6)


@pytest.mark.parametrize(
    ("declared", "text", "said"),
    [
        (TOP, "[datagn]\nmax_cost = 1", "launch.toml: no setting 'datagn'"),
        (TOP, "datagen = 1", "launch.toml: no setting 'datagen'"),
        (TEACHER, "datagen = 1", "launch.toml: datagen = 1: not a table"),
        (TEACHER, "[datagen]\nteacher_modl = 'x'", "did you mean 'teacher_model'?"),
        (TEACHER, "[datagen]\nmax_cost = 0", "launch.toml: max_cost = 0"),
        (TEACHER, "[datagen", "launch.toml: cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_source(declared, text, said):
    with pytest.raises(BadJob) as caught:
        read(declared, text)
    assert said in caught.value.cause


def test_help_shows_descriptions_and_defaults(capsys):
    parser = argparse.ArgumentParser()
    TOP.add_flags(parser)
    TEACHER.add_flags(parser)
    parser.print_help()
    shown = capsys.readouterr().out
    assert "card, 100% rented (default: A10G)" in shown
    assert "stated prices\n" in shown


def test_a_flag_for_those_named_only():
    parser = argparse.ArgumentParser()
    TEACHER.add_flags(parser, only=["max_cost"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--teacher-model", "x"])


def test_the_config_folder():
    assert config_folder(lambda _: "", Path("/h")) == Path("/h/.config/sft-launch")
    assert config_folder(lambda _: "/x", Path("/h")) == Path("/x/sft-launch")
    assert config_folder(lambda _: "x", Path("/h")) == Path("/h/.config/sft-launch")
