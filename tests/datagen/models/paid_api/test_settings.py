"""Which models, where, for how much."""

import argparse
from decimal import Decimal
from pathlib import Path

import pytest

from datagen.models.paid_api.settings import TeacherSettings, add_flags, given, load
from trainer.contract.command.errors import BadJob


def flags(*words: str):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return given(parser.parse_args(words))


def test_the_default_teacher_may_be_learned_from_and_has_a_budget():
    plain = load({})
    assert plain == TeacherSettings()
    assert plain.teacher_model == "openai/gpt-oss-120b"
    assert plain.enforce_distillable
    assert plain.at_openrouter
    assert plain.budget == 2
    assert plain.secret_name == "OPENROUTER_API_KEY"
    assert plain.models() == ["openai/gpt-oss-120b"]


def test_every_source(tmp_path, monkeypatch):
    folder = tmp_path / ".config" / "sft-launch"
    folder.mkdir(parents=True)
    (folder / "launch.toml").write_text('gpu = "L4"\n[datagen]\ntop_p = 0.5\ntemperature = 0.1')
    Path("launch.toml").write_text("[datagen]\ntemperature = 0.2\nmax_tokens = 100")
    monkeypatch.setenv("SFT_DATAGEN_MAX_TOKENS", "200")
    monkeypatch.setenv("SFT_DATAGEN_TEACHER_MODEL", "a/b")
    found = load(flags("--teacher-model", "c/d", "--max-cost", "0.1"))
    assert (found.top_p, found.temperature, found.max_tokens) == (0.5, 0.2, 200)
    assert found.teacher_model == "c/d"
    assert found.budget == Decimal("0.1")


def test_another_api_has_no_budget_and_no_key_unless_told():
    local = TeacherSettings(base_url="http://localhost:8000/v1/")
    assert local.base_url == "http://localhost:8000/v1"
    assert not local.at_openrouter
    assert local.budget is None
    assert local.secret_name is None
    assert TeacherSettings(base_url="http://x", key_name="VLLM_KEY").secret_name == "VLLM_KEY"
    assert not TeacherSettings(base_url="https://notopenrouter.ai/v1").at_openrouter


def test_prices_for_one_and_for_all():
    found = TeacherSettings(price="a/b:c=1/2 3/4").stated_prices()
    assert {name: price.prompt * 1_000_000 for name, price in found.items()} == {"a/b:c": 1, "": 3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--price", "cheap"], "--price: price = 'cheap': 'cheap' is not of the form 0.1/0.5"),
        (["--max-cost", "0"], "--max-cost: max_cost = '0'"),
        (["--base-url", "openrouter.ai"], "--base-url: base_url"),
        (["--temperature", "hot"], "--temperature: temperature"),
        (["--concurrency", "0"], "--concurrency"),
    ],
)
def test_what_is_wrong_is_named(words, said):
    with pytest.raises(BadJob) as caught:
        load(flags(*words))
    assert said in caught.value.cause


def test_every_setting_says_what_it_is():
    assert all(field.description for field in TeacherSettings.model_fields.values())
