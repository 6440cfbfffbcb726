"""Files of episodes are read one episode at a time: no verb holds more than it works on."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from datagen.dataset.card import write_card
from datagen.dataset.export import ExportRules, export
from datagen.dataset.facts import measure
from datagen.dataset.split import split, write_sides
from datagen.episode import Episode, EpisodeFile, write_episodes
from datagen.judge.judge_again import RejudgedCounts, judge_all_again
from tests.bench.episode_file import write

COUNT = 60


class Watched:
    """The episodes of a file; notes how many exist at once."""

    def __init__(self, path: Path) -> None:
        self.file = EpisodeFile(path)
        self.most = 0

    def __iter__(self) -> Iterator[Episode]:
        given: list[weakref.ref[Episode]] = []
        for episode in self.file:
            given.append(weakref.ref(episode))
            self.most = max(self.most, sum(each() is not None for each in given))
            yield episode


def exported(episodes: Iterable[Episode], folder: Path) -> None:
    rules = ExportRules(per_table=9)
    assert export(episodes, folder / "rows", rules=rules, rejected=folder / "pairs").rows


def scored(episodes: Iterable[Episode], folder: Path) -> None:
    write_episodes(folder / "scored", judge_all_again(episodes, RejudgedCounts()))


def described(episodes: Iterable[Episode], folder: Path) -> None:
    write_card(measure(episodes), folder, name="n", licence=None)


def divided(episodes: Iterable[Episode], folder: Path) -> None:
    found = split(episodes, folder, test_share=0.3, seed=0)
    write_sides(episodes, found.sides, {"train": folder / "train", "test": folder / "test"})


@pytest.mark.parametrize("work", [exported, scored, described, divided])
def test_no_verb_holds_the_episodes(
    work: Callable[[Iterable[Episode], Path], None], tmp_path: Path
):
    write(tmp_path / "e.jsonl", COUNT)
    episodes = Watched(tmp_path / "e.jsonl")
    work(episodes, tmp_path)
    assert 0 < episodes.most <= 3
