"""What is looked up before anything is rented: this machine's clock, names, the cards there are."""

import pytest

from launcher.context import Context
from launcher.errors import NoCapacity, OverBudget
from launcher.quote.estimate import TrainingSize
from launcher.rental import offer
from launcher.runpod_api import Availability, DataCenter, Volume
from launcher.settings import Settings
from tests.launcher.rental.account import BEGIN
from trainer.contract.command.errors import Usage

WORK = TrainingSize(
    model=None, parameters=3e9, tokens=1000, longest=512, context=400.0, scored=0.3, rank=32,
    precision=None,
)  # fmt: skip
A5000, R3090 = "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"


@pytest.fixture
def look(account, world, view):
    """What is found with these settings, and the context."""

    def call(**settings):
        context = Context(world, view, Settings(**settings))
        return offer.look(account, context, WORK), context

    return call


def at(gpu, *centres):
    where = tuple(Availability(id=centre, availability="HIGH") for centre in centres)
    return gpu.model_copy(update={"data_centers": where})


@pytest.mark.parametrize("drift", [None, 0.0, 60.0, -60.0])
def test_a_clock_that_is_right_enough(account, drift):
    account.clock_drift = lambda: drift
    offer.check_clock(account)


@pytest.mark.parametrize(
    ("drift", "said"), [(60.6, "61 s ahead of"), (-61.0, "61 s behind"), (7200.0, "7,200 s ahead")]
)
def test_a_wrong_clock_is_told_before_anything_is_rented(account, look, drift, said):
    account.clock_drift = lambda: drift
    with pytest.raises(Usage, match=said):
        look()


def test_the_cards_are_offered_in_the_order_they_are_tried(look, view):
    found, context = look()
    assert [card.gpu.id for card in found.choice.ranked] == [A5000, R3090]
    assert found.read_at == BEGIN
    assert found.what is WORK
    assert found.fixed == offer.Fixed("", "", ())
    assert found.reach["13.0"] == 2
    assert "none" not in found.reach
    assert view.lines == ["RunPod has no A10G: taking the cheapest of its 24 GB cards that is free"]
    assert [deal.gpu for deal in offer.quotes(found, context, spent=0.0)] == [A5000, R3090]


def test_nothing_is_said_of_a_card_that_was_asked_for(look, view):
    look(gpu="3090")
    assert view.lines == []


def test_only_the_cards_that_the_caps_pay_for_are_quoted(account, look):
    found, context = look(max_cost=0.06)
    deals = offer.quotes(found, context, spent=0.0)
    assert [deal.gpu for deal in deals] == [A5000]
    assert deals[0].spent == 0.0
    with pytest.raises(OverBudget) as caught:
        offer.quotes(found, context, spent=0.05)
    assert "RTX A5000 " in caught.value.cause, "the first that is tried, and the cheapest"


def test_no_card_at_all_tells_why_and_what_reaches_one(account, look):
    account.gpus = [gpu.model_copy(update={"cuda": {"12.9": True}}) for gpu in account.gpus]
    with pytest.raises(NoCapacity) as caught:
        look(gpu="3090")
    assert caught.value.hint == "with an image for an older CUDA some are available: --cuda 12.8"
    assert caught.value.faults == (
        f"{R3090}: its hosts have at most 12.9, the image needs CUDA 13.0",
    )
    account.gpus = []
    with pytest.raises(NoCapacity) as caught:
        look(gpu="3090")
    assert caught.value.hint == "try another card, or try later"


def test_names_become_ids(account, look):
    account.stored = [
        Volume(id="v1", name="small", size=10, data_center="US-KS-2"),
        Volume(id="v2", name="big", size=40, data_center="EU-RO-1"),
    ]
    account.gpus = [at(account.gpus[0], "US-KS-2"), at(account.gpus[1], "EU-RO-1", "US-KS-2")]
    found, _ = look(registry="mine", volume="big")
    assert found.fixed == offer.Fixed("reg1", "v2", ("EU-RO-1",))
    assert [card.gpu.id for card in found.choice.ranked] == [R3090]
    assert dict(found.choice.dropped)[A5000] == "not free in EU-RO-1, where big is"


def test_a_name_that_is_not_there_comes_with_those_that_are(account, look):
    with pytest.raises(Usage, match="no registry credential 'yours'") as caught:
        look(registry="yours")
    assert caught.value.hint.startswith("use one of mine; or create it with: launch doctor")
    account.registries = list
    with pytest.raises(Usage) as caught:
        look(registry="yours")
    assert caught.value.hint.startswith("create it with: launch doctor --add-registry yours ")


@pytest.mark.parametrize(
    ("centres", "wanted"),
    [
        # where the first card is, if volumes are there; else where the next one is
        ({"EU-RO-1": True, "US-KS-2": True}, "US-KS-2"),
        ({"EU-RO-1": True, "US-KS-2": False}, "EU-RO-1"),
        # else anywhere
        ({"AP-JP-1": True, "US-KS-2": False}, "AP-JP-1"),
        ({}, "DATA_CENTER"),
    ],
)
def test_a_volume_is_to_be_made_where_a_card_is(account, look, centres, wanted):
    account.gpus = [at(account.gpus[0], "US-KS-2"), at(account.gpus[1], "EU-RO-1")]
    account.centres = [
        DataCenter(id=name, volume_types=("STANDARD",) if volumes else ())
        for name, volumes in centres.items()
    ]
    with pytest.raises(Usage, match="no network volume 'big'") as caught:
        look(volume="big")
    assert f"--add-volume big --data-center {wanted} --mount 40" in caught.value.hint
