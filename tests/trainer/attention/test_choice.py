"""Judge: the model's own eager attention; here it must notice each way in which attention can be wrong."""

import pytest
import torch

from tests.trainer.attention import families
from trainer import adapter
from trainer.attention import choice, kernels
from trainer.attention.choice import choose
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.options import Lora

LONGEST = 16_384


def chosen(family, lora=None, longest=LONGEST):
    return choose(families.config_of(family), lora or Lora(), longest=longest)


def other_kernel(change):
    """Attention row by row, with one argument changed."""
    plain = kernels._row_by_row

    def kernel(query, key, value, borders, longest, window, scaling):
        return plain(*change(query, key, value, borders, longest, window, scaling))

    return kernel


MUTANTS = {
    "window ignored": lambda q, k, v, b, n, w, s: (q, k, v, b, n, None, s),
    "window a token longer": lambda q, k, v, b, n, w, s: (q, k, v, b, n, w and w + 1, s),
    "window a token shorter": lambda q, k, v, b, n, w, s: (q, k, v, b, n, w and w - 1, s),
    "rows see each other": lambda q, k, v, b, n, w, s: (q, k, v, b[[0, -1]], n, w, s),
    "one row sees another": lambda q, k, v, b, n, w, s: (q, k, v, b[[0, 1, 2, 3, -1]], n, w, s),
    "wrong scale": lambda q, k, v, b, n, w, s: (q, k, v, b, n, w, s * 1.01),
    "no scale": lambda q, k, v, b, n, w, s: (q, k, v, b, n, w, 1.0),
    "key heads mixed up": lambda q, k, v, b, n, w, s: (q, k.flip(1), v, b, n, w, s),
    "heads mixed up": lambda q, k, v, b, n, w, s: (q, k.flip(1), v.flip(1), b, n, w, s),
    "last token of a row": lambda q, k, v, b, n, w, s: (q, k, v, b - (b == b[2]).int(), n, w, s),
}


@pytest.mark.parametrize(
    ("family", "mutant"),
    [
        *(("Mistral 7B v0.1", mutant) for mutant in MUTANTS),
        ("Gemma 3 1B", "window ignored"),
        ("Llama 3.2 3B", "rows see each other"),
        ("Qwen3 30B-A3B", "one row sees another"),
    ],
)
def test_attention_that_is_wrong_is_not_taken(monkeypatch, family, mutant):
    monkeypatch.setattr(kernels, "_row_by_row", other_kernel(MUTANTS[mutant]))
    found = chosen(family)
    assert found.attention == "sdpa"
    assert found.reason.startswith("its logits differ from those of its eager attention by ")
    assert float(found.reason.partition(" by ")[2].split()[0]) > 5 * choice.LIMIT


def test_a_fault_that_only_training_shows_is_noticed(monkeypatch):
    """A gradient that does not reach the adapter: the step changes nothing."""
    plain = choice._step
    monkeypatch.setattr(choice, "_step", lambda model, _: plain(model, []))
    with pytest.raises(ModelUnavailable, match="a step of training changes nothing"):
        chosen("Llama 3.2 3B")


def test_an_adapter_that_loads_as_another_is_noticed(monkeypatch):
    def save(model, folder):
        with torch.no_grad():
            next(w for n, w in model.named_parameters() if "lora_B" in n).mul_(1.5)
        plain(model, folder)

    plain = adapter.save_weights
    monkeypatch.setattr(choice, "save_weights", save)
    with pytest.raises(ModelUnavailable, match="saved adapter does not compute what was trained"):
        chosen("Llama 3.2 3B")


@pytest.mark.parametrize(
    ("family", "name", "reason"),
    [
        ("Gemma 2 2B", "eager", "attention with a soft cap cannot be packed exactly"),
        ("gpt-oss 20B", "eager", "attention with sinks cannot be packed exactly"),
        ("StableLM", "sdpa", "attention with rows whose borders are not given cannot be packed"),
        (
            "Qwen3.5 4B",
            "sdpa",
            "its code fails (ValueError: `causal_conv1d_fn` can't keep packed",
        ),
        ("LFM2 1.2B", "sdpa", "its code fails"),
    ],
)
def test_what_cannot_be_packed_has_each_row_alone(family, name, reason):
    found = chosen(family)
    assert found.attention == name
    assert found.reason.startswith(reason)
    assert found.text.endswith(
        f": each row is a separate micro-batch, with the model's own attention ({name})"
    )


@pytest.mark.parametrize(("longest", "name"), [(4096, kernels.ROWS), (4097, "sdpa")])
def test_rotary_that_depends_on_the_longest_row_is_packed_below_its_limit(longest, name):
    """Phi-4-mini has other frequencies for a batch with a position past 4,096."""
    assert chosen("Phi-4 mini", longest=longest).attention == name


@pytest.mark.parametrize(
    ("family", "lora", "words"),
    [
        ("Mamba", Lora(), "'mamba' cannot be trained: its code fails"),
        ("Llama 4", Lora(), "no attribute 'last_hidden_state'"),
        ("Qwen3 30B-A3B", Lora(variant="dora"), "does not work with use_dora=True"),
        ("Qwen3 30B-A3B", Lora(dropout=0.1), "does not work with lora_dropout != 0"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(family, lora, words):
    with pytest.raises(ModelUnavailable) as caught:
        chosen(family, lora)
    assert words in caught.value.cause


@pytest.mark.parametrize("variant", ["plain", "rslora", "dora"])
def test_each_variant_of_the_adapter_is_tried_as_the_job_has_it(variant):
    found = chosen("Qwen3 4B", Lora(variant=variant, r=8, dropout=0.1))
    assert kernels.packs(found.attention)


def test_the_name_asked_for_is_returned_and_random_numbers_stay():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = choose(families.config_of("Llama 3.2 3B"), Lora(), longest=100, packed=kernels.VARLEN)
    assert found == choice.Choice(kernels.VARLEN)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("family", [f for f in families.PUBLISHED if f not in families.SLOW])
def test_the_table_of_the_contract_says_what_the_proof_finds(family):
    families.prove(family, LONGEST)
