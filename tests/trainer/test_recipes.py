import pytest

from trainer.contract.job import RECIPES, from_sources

NAMES = ["demo", "llama-3.2-3b", "qwen2.5-3b", "qwen2.5-7b", "tiny"]


def test_these_are_all():
    assert sorted(path.stem for path in RECIPES.glob("*")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_job(name):
    job = from_sources(name)
    assert job == from_sources(RECIPES / f"{name}.toml")
    assert job.lora.dropout == 0.0
    assert job.batch_size <= 32
    assert "#" in (RECIPES / f"{name}.toml").read_text()


def test_the_large_ones_share_what_was_decided():
    for name in NAMES[1:4]:
        job = from_sources(name)
        assert (job.lora.r, job.lora.alpha, job.lr, job.schedule) == (32, 32, 2e-4, "cosine")
        assert job.precision == "auto"
    assert from_sources("tiny").model == "bundled:tiny"
