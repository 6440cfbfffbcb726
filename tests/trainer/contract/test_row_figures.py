import pytest

from trainer.contract import row_figures
from trainer.contract.job import Job
from trainer.contract.row_figures import Figures

FOUND = Figures(lengths=[3, 5], trained=4)


def test_figures_are_read_for_the_same_data_model_and_settings(tmp_path):
    row_figures.write(tmp_path, Job(), "a" * 64, FOUND)
    assert row_figures.read(tmp_path, Job(epochs=9), "a" * 64) == FOUND
    assert row_figures.read(tmp_path, Job(), "b" * 64) is None
    for other in ({"model": "x"}, {"max_length": 9}, {"turns": "keep"}, {"overlong": "split"}):
        assert row_figures.read(tmp_path, Job.resolve(other, source="t"), "a" * 64) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"lengths": 3}', '{"lengths": ["x"], "trained": 1}']
)
def test_a_broken_file_counts_as_none(tmp_path, text):
    row_figures.write(tmp_path, Job(), "a" * 64, FOUND)
    (place,) = (tmp_path / row_figures.FOLDER).iterdir()
    place.write_text(text)
    assert row_figures.read(tmp_path, Job(), "a" * 64) is None


def test_a_folder_that_cannot_be_written_is_ignored(tmp_path):
    (tmp_path / row_figures.FOLDER).write_text("a file")
    row_figures.write(tmp_path, Job(), "a" * 64, FOUND)
