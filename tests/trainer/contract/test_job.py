import argparse
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.command.errors import BadJob, NotFound
from trainer.contract.command.settings import read_toml
from trainer.contract.job import (
    Job,
    add_flags,
    from_sources,
    given_flags,
    options,
    options_table,
)


def test_defaults_are_the_plan_of_the_seed():
    job = Job()
    assert job.model == "Qwen/Qwen2.5-3B-Instruct"
    assert job.data == "training_data/train_openai.jsonl"
    assert job.output == "./checkpoints"
    assert (job.epochs, job.batch_size, job.lr) == (3.0, 16, 2e-4)
    assert (job.lora.r, job.lora.alpha, job.lora.dropout) == (32, 32, 0.0)


def test_the_seeds_command_line(tmp_path):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    line = "--model m --data d.jsonl --output o --epochs 2 --batch-size 8 --lr 1e-3 --lora-r 4"
    job = from_sources(None, [], given_flags(parser.parse_args(line.split())))
    assert (job.model, job.data, job.output) == ("m", "d.jsonl", "o")
    assert (job.epochs, job.batch_size, job.lr, job.lora.r) == (2.0, 8, 1e-3, 4)
    assert given_flags(parser.parse_args([])) == {}


def test_later_sources_win(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("lr = 1e-3\nseed = 5\n[lora]\nr = 4\nalpha = 8\n")
    job = from_sources(recipe, ["lora.r=6", "seed=7", "model=a/b"], {"seed": "9"})
    assert (job.lr, job.lora.r, job.lora.alpha, job.seed, job.model) == (1e-3, 6, 8, 9, "a/b")
    assert from_sources(None, ["max_steps=5", "max_steps=null"]).max_steps is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["lora.rank=3"], ["--set lora.rank=3", "no option 'lora.rank'"]),
        (["batchsize=3"], ["did you mean 'batch_size'?"]),
        (["token=3"], ["did you mean 'plan.tokens'?"]),
        (["lr=fast"], ["lr = 'fast'", "number"]),
        (["lr=-1"], ["lr = -1", "greater than 0"]),
        (["lr=nan"], ["lr", "finite"]),
        (["seed=4294967296"], ["seed"]),
        (["overlong=cut"], ["overlong = 'cut'", "drop"]),
        (["lora=3"], ["lora = 3"]),
        (["plan.shard=true", "precision=nf4"], ["plan.shard", "not in nf4"]),
        (["lora.variant=dora", "plan.shard=true"], ["plan.shard", "lora.variant = dora"]),
        (["lora.variant=pissa"], ["lora.variant = 'pissa'", "dora"]),
        (["model.size=3"], ["model"]),
        (["lora=3", "lora.r=3"], ["lora"]),
        (["nothing"], ["--set nothing", "name=value"]),
        (["=3"], ["name=value"]),
    ],
)
def test_a_wrong_setting_is_named(settings, words):
    with pytest.raises(BadJob) as caught:
        from_sources(None, settings)
    for word in words:
        assert word in str(caught.value)


def test_a_value_cannot_smuggle_in_another_option():
    job = from_sources(None, ["model=x\nseed = 3"])
    assert job.seed == 0


def test_a_wrong_recipe_is_named(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("learning_rate = 1\n[lora]\nranks = 3\n")
    with pytest.raises(BadJob) as caught:
        from_sources(recipe)
    assert str(recipe) in caught.value.cause
    assert len(caught.value.faults) == 2
    recipe.write_text("lr = \n")
    with pytest.raises(BadJob, match=r"as TOML.*line 1"):
        read_toml(recipe)
    recipe.write_bytes(b"model = '\xe9'\n")
    with pytest.raises(BadJob, match="is not UTF-8"):
        read_toml(recipe)
    with pytest.raises(NotFound):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(NotFound, match="no recipe 'qwen9'"):
        from_sources("qwen9")


jobs = st.builds(
    lambda **values: Job.resolve(values, source="test"),
    model=st.text(min_size=1).filter(str.isprintable),
    lr=st.floats(1e-9, 1.0),
    epochs=st.floats(0.01, 100),
    seed=st.integers(0, 2**32 - 1),
    max_steps=st.none() | st.integers(1, 10**9),
    lora=st.fixed_dictionaries({"r": st.integers(1, 512), "dropout": st.floats(0, 0.99)}),
)


@given(job=jobs)
def test_json_keeps_a_job_and_its_hash(tmp_path_factory, job):
    path = tmp_path_factory.mktemp("job") / "job.json"
    path.write_text(job.to_json(), encoding="utf-8")
    again = Job.from_json(path)
    assert again == job
    assert again.hash() == job.hash()


@given(job=jobs, other=jobs)
def test_the_hash_tells_jobs_apart(job, other):
    assert (job.hash() == other.hash()) == (job == other)


def test_the_hash_leaves_out_place_and_plan():
    settings = ["output=x", "data=y", "eval_data=z", "evaluate=w"]
    settings += ["plan.tokens=2", "plan.processes=2", "samples=2", "checkpoint.minutes=9"]
    assert from_sources(None, settings).hash() == Job().hash()


def test_every_other_option_counts_in_the_hash():
    other = {
        "model": "x",
        "revision": "x",
        "epochs": 9,
        "max_steps": 9,
        "batch_size": 9,
        "lr": 9,
        "schedule": "linear",
        "warmup": 0.9,
        "weight_decay": 9,
        "max_grad_norm": 9,
        "seed": 9,
        "max_length": 99,
        "overlong": "error",
        "turns": "keep",
        "precision": "fp32",
        "lora.r": 9,
        "lora.alpha": 9,
        "lora.dropout": 0.9,
        "lora.variant": "dora",
        "lora.plus": 9,
        "eval_share": 0.9,
        "early_stop": 9,
    }
    plain = {"output", "data", "eval_data", "evaluate", "samples", "keep", "validation"}
    plain |= {name for name, _ in options() if name.startswith(("plan.", "checkpoint."))}
    plain.add("allow_precision_change")
    assert {name for name, _ in options()} == set(other) | plain
    hashes = {from_sources(None, [], {name: value}).hash() for name, value in other.items()}
    assert len(hashes | {Job().hash()}) == len(other) + 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"v": 2}', '{"modle": "x"}'])
def test_a_wrong_job_file_is_named(tmp_path, text):
    path = tmp_path / "job.json"
    path.write_text(text)
    with pytest.raises(BadJob, match=r"job\.json"):
        Job.from_json(path)


def test_the_table_has_a_line_for_every_option():
    lines = options_table().splitlines()
    names = [name for name, _ in options()]
    assert [line.split("`")[1] for line in lines[2:]] == names
    assert len(names) == len(set(names))
    assert "| `lora.r` | `--lora-r` | `32` |" in options_table()


def test_the_job_says_its_version():
    assert json.loads(Job().to_json())["v"] == 1
    assert Path(Job().output) == Path("checkpoints")
