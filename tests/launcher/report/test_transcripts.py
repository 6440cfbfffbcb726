import json
import tracemalloc

import pytest

from launcher import report
from launcher.report import transcripts
from launcher.report.transcripts import read_pairs
from tests.launcher.report.made import make_run

ORDER = ("both right", "both wrong", "won", "lost")  # what gives way first
SAID = 1000
TURNS = 3


def lengthen(run):
    """Each side of each question says ``SAID`` characters in each of its turns."""
    for path in (run.folder / "evaluation").iterdir():
        episodes = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for at, episode in enumerate(episodes):
            turn = {
                **episode["traces"][0]["turns"][0],
                "reply": f"{at} ".ljust(SAID, "x"),
                "stdout": "",
            }
            episode["traces"][0]["turns"] = [turn] * TURNS
        path.write_text("".join(json.dumps(episode) + "\n" for episode in episodes), "utf-8")
    return run


@pytest.fixture
def run(tmp_path):
    """40 questions, ten of each outcome."""
    return lengthen(make_run(tmp_path / "run", questions=40))


def outcomes(pairs, *, whole):
    shown = [pair.outcome for pair in pairs if (pair.facts["base"]["turns"] is not None) == whole]
    return {outcome: shown.count(outcome) for outcome in ORDER}


def test_where_there_is_room_everything_is_told(run):
    pairs = read_pairs(run.folder / "evaluation")
    assert outcomes(pairs, whole=True) == dict.fromkeys(ORDER, 10)
    for at, pair in enumerate(pairs):
        for side in ("base", "adapter"):
            assert [turn["said"].split()[0] for turn in pair.facts[side]["turns"]] == [str(at)] * 3


@pytest.mark.parametrize(
    ("pairs_of_room", "left"),
    [(25, (0, 5, 10, 10)), (15, (0, 0, 5, 10)), (4, (0, 0, 0, 4)), (0, (0, 0, 0, 0))],
)
def test_those_that_fared_alike_give_way_first(run, pairs_of_room, left):
    characters = pairs_of_room * 2 * TURNS * SAID
    pairs = read_pairs(run.folder / "evaluation", room=characters)
    assert len(pairs) == 40
    assert outcomes(pairs, whole=True) == dict(zip(ORDER, left, strict=True))
    assert sum(pair.characters for pair in pairs if pair.facts["base"]["turns"]) == characters


def test_the_page_lists_every_question_whatever_it_has_room_for(run, monkeypatch):
    whole = report.write(run).stat().st_size
    monkeypatch.setattr(transcripts.read_pairs, "__kwdefaults__", {"room": 0})
    page = report.write(run)
    assert page.stat().st_size < whole - 40 * TURNS * SAID
    assert page.read_text("utf-8").count('"text":"Question') == 39  # the first is made otherwise
    assert report.read(run).answers == dict.fromkeys(ORDER, 10)


def test_memory_does_not_grow_with_what_there_is_no_room_for(tmp_path):
    peaks = []
    for questions in (200, 1600):
        run = lengthen(make_run(tmp_path / str(questions), questions=questions))
        tracemalloc.start()
        try:
            read_pairs(run.folder / "evaluation", room=40 * 2 * TURNS * SAID)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 1400 < 2 * TURNS * SAID / 2
