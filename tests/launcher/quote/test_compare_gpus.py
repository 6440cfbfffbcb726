import dataclasses

import pytest

from launcher.errors import ApiUnavailable
from launcher.quote import catalog
from launcher.quote.compare_gpus import _named, compare, several, table
from launcher.quote.gpu_names import resolve
from launcher.runpod_api.answers import Availability, Catalog
from launcher.settings import Settings
from launcher.world import World
from tests.launcher.quote.test_estimate import WORK
from tests.launcher.rental.account import card
from trainer.contract.event_text import clock
from trainer.contract.sizing.cards import CARDS as KNOWN


def gpu(name, price, memory, availability="HIGH"):
    return card(name, price).model_copy(update={"memory": memory, "availability": availability})


CARDS = Catalog(
    read_at=1_800_000_000.0,
    count=1,
    gpus=(
        gpu("NVIDIA RTX A5000", 0.27, 24),
        gpu("NVIDIA A40", 0.27, 48),
        gpu("NVIDIA H100 80GB HBM3", 2.69, 80),
        gpu("NVIDIA GeForce RTX 3090", 0.22, 24, availability="NONE"),
        gpu("NVIDIA Tiny", 0.01, 4),
    ),
)


def test_the_table_marks_cheapest_fastest_bigger_at_the_price_and_what_does_not_fit():
    lines = compare(WORK, CARDS, Settings())
    notes = {line.card: line.note for line in lines}
    assert "cheapest" in notes["NVIDIA A40"]
    assert "fastest" in notes["NVIDIA H100 80GB HBM3"]
    assert "A40 has 48 GB at that price" in notes["NVIDIA RTX A5000"]
    assert [line.card for line in lines][-2:] == ["NVIDIA GeForce RTX 3090", "NVIDIA Tiny"]
    text = "\n".join(table(lines, WORK))
    assert "does not fit" in text
    assert "none free now" in text
    assert "rough" in text
    assert "GB used: counted from the model's shape" in text
    unknown = dataclasses.replace(WORK, model=None)
    assert "GB used: counted" not in "\n".join(table(compare(unknown, CARDS, Settings()), unknown))


def test_a_rate_of_ten_million_stands_apart_from_the_price():
    line = compare(WORK, CARDS, Settings())[0]
    speed = dataclasses.replace(line.sized.speed, bound=12_345_678.0, share={"likely": 1.0})
    fast = dataclasses.replace(line.sized, speed=speed)
    shown = table([dataclasses.replace(line, sized=fast)], WORK)
    assert any(f"{line.rate:.2f} 12,345,678 " in text for text in shown)


def test_money_is_time_at_the_rate_with_disks():
    line = compare(WORK, CARDS, Settings(disk=20, mount=40))[0]
    assert line.rate == pytest.approx(0.27 + 60 * 0.10 / 730)
    hours = line.sized.seconds["likely"] / 3600
    assert line.likely == pytest.approx(hours * (0.27 + 60 * 0.10 / 730))
    assert line.facts()["dollars"]["low"] <= line.facts()["dollars"]["high"]


class Away(World):
    """A laptop whose network can be cut."""

    def __init__(self, folder):
        self.folder = folder
        self.cut = False

    def state_folder(self):
        return self.folder / "state"

    def variable(self, name):
        return "rpa_x" if name == "RUNPOD_API_KEY" else ""

    def api(self, key):
        return self

    def catalog(self, count, *, tries):
        if self.cut:
            raise ApiUnavailable("RunPod cannot be reached", "try again")
        return CARDS


def test_without_a_network_the_last_prices_are_used_and_that_is_said(tmp_path):
    world = Away(tmp_path)
    world.cut = True
    assert not catalog.read(world)[0].priced
    world.cut = False
    assert catalog.read(world) == (CARDS, None)
    world.cut = True
    found, why = catalog.read(world)
    assert found == CARDS
    assert "cannot be reached" in str(why)
    (tmp_path / "state" / "catalog.json").write_text("{")
    assert not catalog.read(world)[0].priced


def test_data_centres_survive(tmp_path):
    world = Away(tmp_path)
    centre = Availability(id="EU-1", name="Oslo", availability="LOW")
    kept = CARDS.model_copy(
        update={"gpus": (CARDS.gpus[0].model_copy(update={"data_centers": (centre,)}),)}
    )
    catalog.keep(kept, world)
    world.cut = True
    assert catalog.read(world)[0] == kept


def test_more_cards_are_shown_where_they_save_a_tenth_of_the_time_with_what_they_cost():
    """The cheapest and the fastest; the pod of the H100 has at most two. As ``launch train --gpu`` takes it."""
    long = dataclasses.replace(WORK, steps=((1000,) * 16,), tokens=30_000_000)
    gpus = (CARDS.gpus[1], CARDS.gpus[2].model_copy(update={"max_count": 2}))
    catalog = CARDS.model_copy(update={"gpus": gpus})
    one = compare(long, catalog, Settings())
    lines = several(one, long, catalog, Settings())
    text = table(lines, long)
    shown = [row.split()[0] for row in text if row.startswith(("A40", "H100"))]
    assert shown == ["A40", "A40:2", "A40:4", "A40:8", "H100", "H100"]
    assert any(row.startswith("H100 80GB HBM3:2") for row in text)
    assert ":2 is two cards in one pod, as --gpu takes it; it may not be free" in text
    for line in lines:
        assert resolve(_named(line), gpus).ids == (line.card,)
        assert resolve(_named(line), gpus).count == line.count
    a40, double = lines[0], lines[1]
    saved = a40.sized.seconds["likely"] - double.sized.seconds["likely"]
    assert double.note == f"saves {clock(saved)}, ${double.likely - a40.likely:.2f} more"
    assert double.rate == pytest.approx(2 * 0.27 + 60 * 0.10 / 730)
    # 20,000 tokens are trained in seconds: more cards save nothing
    short = dataclasses.replace(long, tokens=20_000)
    assert several(compare(short, catalog, Settings()), short, catalog, Settings()) == compare(
        short, catalog, Settings()
    )


@pytest.mark.parametrize("card", KNOWN)
def test_every_card_is_shown_under_a_name_that_the_launcher_takes(card):
    wanted = dataclasses.replace(compare(WORK, CARDS, Settings())[0], card=card, count=2)
    if KNOWN[card].runpod:
        assert resolve(_named(wanted)).ids == (card,)
