import pytest

from launcher.quote.gpu_names import CARDS, LIKE_A10G, NAMES, NOT_THERE, candidates, reach, resolve
from launcher.runpod_api.answers import Catalog, Gpu
from trainer.contract.command.errors import Usage


def gpu(card_id, price, *, availability="HIGH", cuda=None, secure=True, most=8, memory=24):
    return Gpu(
        id=card_id,
        name=card_id.removeprefix("NVIDIA "),
        memory=memory,
        secure=secure,
        secure_price=price,
        max_count=most,
        availability=availability,
        data_centers=(),
        cuda={"12.8": True, "13.0": True} if cuda is None else cuda,
    )


def catalog(*gpus):
    return Catalog(read_at=0.0, count=1, gpus=gpus)


A5000, R3090, R4090, L4, A30, TI = LIKE_A10G


def ranked(choice):
    return [found.gpu.id for found in choice.ranked]


@pytest.mark.parametrize(
    ("text", "ids", "count"),
    [
        ("4090", ("NVIDIA GeForce RTX 4090",), 1),
        ("rtx 4090", ("NVIDIA GeForce RTX 4090",), 1),
        ("RTX4090:2", ("NVIDIA GeForce RTX 4090",), 2),
        ("NVIDIA GeForce RTX 4090", ("NVIDIA GeForce RTX 4090",), 1),
        ("A5000", ("NVIDIA RTX A5000",), 1),
        ("l4", ("NVIDIA L4",), 1),
        ("A40", ("NVIDIA A40",), 1),
        ("A6000", ("NVIDIA RTX A6000",), 1),
        ("RTX 6000 Ada", ("NVIDIA RTX 6000 Ada Generation",), 1),
        ("L40S", ("NVIDIA L40S",), 1),
        ("L40", ("NVIDIA L40",), 1),
        ("A100:4", ("NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"), 4),
        ("A100-80", ("NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"), 1),
        ("a100 80GB : 8", ("NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"), 8),
        ("H100 SXM", ("NVIDIA H100 80GB HBM3",), 1),
        ("h100-pcie", ("NVIDIA H100 PCIe",), 1),
        ("5090", ("NVIDIA GeForce RTX 5090",), 1),
    ],
)
def test_the_names_people_say(text, ids, count):
    wanted = resolve(text)
    assert (wanted.ids, wanted.count, wanted.note) == (ids, count, "")


def test_every_name_and_every_id_means_cards_we_know():
    for ids in NAMES.values():
        assert set(ids) <= set(CARDS)
    for card_id in CARDS:
        assert resolve(card_id).ids == (card_id,)


@pytest.mark.parametrize("text", ["A10G", "a10", "A10G:2"])
def test_an_a10g_is_not_there_and_its_equivalents_are_said(text):
    wanted = resolve(text)
    assert wanted.ids[0] == "NVIDIA RTX A5000"
    assert {CARDS[card_id].memory for card_id in wanted.ids} == {24}
    assert "RunPod has no A10" in wanted.note


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("4900", "4090"), ("A10O", "A100"), ("L40X", "L40S"), ("A5OOO", "A5000"), ("A1OG", "A10G")],
)
def test_a_typo_gets_the_nearest_names(text, nearest):
    with pytest.raises(Usage, match="unknown card") as caught:
        resolve(text)
    assert nearest in caught.value.hint
    assert len(caught.value.hint) < 60


@pytest.mark.parametrize("hopeless", ["", "potato!", ":2"])
def test_without_a_near_name_all_are_listed(hopeless):
    with pytest.raises(Usage) as caught:
        resolve(hopeless)
    assert "L40S" in caught.value.hint


@pytest.mark.parametrize("text", ["A100:0", "A100:x", "A100:", "A100:-1", "A100:1000"])
def test_the_number_of_cards(text):
    with pytest.raises(Usage, match="number of cards"):
        resolve(text)


def test_every_suggested_name_can_be_said():
    with pytest.raises(Usage) as caught:
        resolve("potato!")
    for name in caught.value.hint.partition(": ")[2].split(", "):
        assert resolve(name).ids


def test_a_card_that_only_the_live_catalog_knows():
    new = gpu("NVIDIA Rubin X", 9.0)
    assert resolve("rubin x", [new]).ids == ("NVIDIA Rubin X",)
    assert ranked(candidates(resolve("Rubin X", [new]), catalog(new), min_cuda="13.0")) == [new.id]


def test_the_cheapest_comes_first_and_at_one_price_the_best_stocked():
    choice = candidates(
        resolve("A10G"),
        catalog(
            gpu(R4090, 0.74),
            gpu(L4, 0.49, availability="LOW"),
            gpu(R3090, 0.49),
            gpu(A5000, 0.27, availability="LOW"),
        ),
        min_cuda="13.0",
    )
    assert ranked(choice) == [A5000, R3090, L4, R4090]
    assert choice.ranked[0].note
    assert dict(choice.dropped) == {
        A30: "not in RunPod's catalog",
        TI: "not in RunPod's catalog",
    }


def test_the_rate_is_for_all_cards():
    found = candidates(resolve("L4:4"), catalog(gpu("NVIDIA L4", 0.5)), min_cuda="13.0").ranked[0]
    assert found.rate == 2.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"availability": "NONE"}, "none free right now"),
        ({"secure": False}, "not offered on Secure Cloud"),
        ({"price": 0.0}, "not offered on Secure Cloud"),
        ({"most": 2}, "at most 2 in one pod"),
        ({"cuda": {"12.4": True, "12.8": True}}, "at most 12.8, the image needs CUDA 13.0"),
        ({"cuda": {"12.11": True, "12.2": True}}, "at most 12.11, the image needs CUDA 13.0"),
        ({"cuda": {}}, "no known CUDA version, the image needs CUDA 13.0"),
        ({"cuda": {"": True}}, "no known CUDA version"),
        ({"cuda": {"12.8": True, "13.0": False}}, "none free right now on a host with CUDA 13.0"),
    ],
)
def test_each_dropped_card_has_its_reason(changes, reason):
    one = gpu("NVIDIA L4", **{"price": 0.5, **changes})
    choice = candidates(resolve("L4:4"), catalog(one), min_cuda="13.0")
    assert choice.ranked == ()
    assert choice.dropped[0][0] == "NVIDIA L4"
    assert reason in choice.dropped[0][1]


@pytest.mark.parametrize(
    ("version", "floor", "enough"),
    [
        ("13.1", "13.0", True),
        ("13.0", "12.8", True),
        ("12.11", "12.2", True),
        ("12.8", "12.11", False),
    ],
)
def test_versions_are_compared_as_numbers(version, floor, enough):
    one = gpu("NVIDIA L4", 0.5, cuda={version: True})
    assert bool(candidates(resolve("L4"), catalog(one), min_cuda=floor).ranked) is enough


def test_stock_that_is_not_told_is_tried_last():
    unknown, low = gpu(A5000, 0.5, availability=""), gpu(R3090, 0.5, availability="LOW")
    assert ranked(candidates(resolve("A10G"), catalog(unknown, low), min_cuda="13.0")) == [
        R3090,
        A5000,
    ]


def test_the_equivalents_are_reachable_under_every_name_for_it():
    assert {ids for ids, _ in NOT_THERE.values()} == {LIKE_A10G}


def test_an_older_cuda_reaches_more_cards():
    old = gpu(R3090, 0.3, cuda={"12.6": True, "12.8": True})
    told = reach(resolve("A10G"), catalog(gpu(A5000, 0.3), old), ["13.0", "12.8", "12.6"])
    assert list(told.items()) == [("12.6", 2), ("12.8", 2), ("13.0", 1)]
