"""PiSSA beside PEFT's own, which takes the directions out of the base."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from trainer import pissa
from trainer.contract.errors import BadJob

RANK, ALPHA, SEED = 4, 8, 3
TOKENS = torch.arange(24).reshape(2, 12)


@pytest.fixture(scope="module")
def base(base_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32).eval()


def adapted(base, dtype=torch.float32):
    config = LoraConfig(r=2 * RANK, lora_alpha=2 * ALPHA, target_modules="all-linear")
    model = get_peft_model(copy.deepcopy(base).to(dtype), config)
    pissa.begin(model, RANK, seed=SEED)
    return model


def pefts(base):
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules="all-linear",
        init_lora_weights="pissa",
    )
    return get_peft_model(copy.deepcopy(base), config)


def losses(model, *, hold=True, steps=6):
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2, weight_decay=0.0)
    found = []
    for _ in range(steps):
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        optimizer.zero_grad()
        loss.backward()
        if hold:
            pissa.hold(model, RANK)
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


def test_it_learns_as_pefts_own_step_by_step(base, monkeypatch):
    """Both from the exact directions: of random weights the quick method finds others each time."""

    def exact(weight, *, q, niter):
        left, sizes, right = torch.linalg.svd(weight, full_matrices=False)
        return left[:, :q], sizes[:q], right[:q].T

    monkeypatch.setattr(torch, "svd_lowrank", exact)
    ours = losses(adapted(base))
    assert ours == pytest.approx(losses(pefts(base), hold=False), rel=1e-4)
    assert ours[-1] < ours[0] - 0.5


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_nothing_is_changed_at_first(base, dtype, most):
    with torch.no_grad():
        plain = copy.deepcopy(base).to(dtype)(TOKENS).logits
        begun = adapted(base, dtype)(TOKENS).logits
    assert (begun - plain).abs().max() <= most


def test_half_of_it_never_learns_and_the_base_neither(base):
    model = adapted(base)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses(model, steps=3)
    for name, after in model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(after, before[name])
            continue
        live, still = after.chunk(2, dim=0 if "lora_A" in name else 1)
        live_before, still_before = before[name].chunk(2, dim=0 if "lora_A" in name else 1)
        assert torch.equal(still, still_before)
        assert not torch.equal(live, live_before)


def test_what_it_draws_changes_nothing_that_is_drawn_later(base):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = get_peft_model(copy.deepcopy(base), LoraConfig(r=2 * RANK))
    torch.manual_seed(7)
    pissa.begin(model, RANK, seed=SEED)
    assert torch.equal(torch.rand(3), expected)


def test_more_directions_than_a_layer_has_are_refused(base):
    model = get_peft_model(copy.deepcopy(base), LoraConfig(r=200, target_modules="all-linear"))
    with pytest.raises(BadJob, match=r"lora\.r = 100: .*proj has only \d+ directions"):
        pissa.begin(model, 100, seed=SEED)
