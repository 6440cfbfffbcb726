"""A base model that is a folder: what goes to the pod, and what is refused before anything is rented."""

import shutil
import tarfile

import pytest

from launcher.estimate import work
from launcher.rental import model
from launcher.world import World
from tests.launcher.rental.conftest import JOB
from trainer.contract import pod as border
from trainer.contract.errors import NotFound, Usage
from trainer.contract.job import Job
from trainer.contract.manifest import hash_file
from trainer.contract.rows import read_rows


@pytest.fixture
def folder(project):
    (project / "base" / "sub").mkdir(parents=True)
    (project / "base" / ".cache").mkdir()
    (project / "base" / "config.json").write_text("{}")
    (project / "base" / "sub" / "b.txt").write_text("b")
    (project / "base" / ".cache" / "c").write_text("c")
    (project / "blob").write_bytes(bytes(4000))
    (project / "base" / "model.safetensors").symlink_to(project / "blob")
    return project / "base"


def test_the_archive_depends_on_content_alone(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for at in (folder, copy):
        model.pack(at, tmp_path / f"{at.name}.tar")
    assert hash_file(tmp_path / "base.tar") == hash_file(tmp_path / "copy.tar")
    with tarfile.open(tmp_path / "base.tar") as tar:
        found = {entry.name: entry.size for entry in tar if entry.isfile()}
    assert found == {"config.json": 2, "model.safetensors": 4000, "sub/b.txt": 1}


def test_a_small_model_goes_along_under_its_own_path(folder, account, begin):
    outcome = begin(job=JOB.model_copy(update={"model": "base"}))
    (machine,) = account.machines.values()
    told = Job.from_json(machine.root / "inbox" / "job.json").model
    uploaded = border.uploaded_model(told)
    assert uploaded is not None
    sha256, path = uploaded
    assert path == str(folder)
    assert hash_file(machine.root / "inbox" / sha256).sha256 == sha256
    assert not (outcome.run.folder / ".model.tar").exists()


def test_a_large_model_is_refused_with_what_to_do(folder, account, begin, project):
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(model.MOST + 1)
    with pytest.raises(Usage, match="at most 50 MB") as caught:
        begin(job=JOB.model_copy(update={"model": "base"}))
    assert "hf upload" in caught.value.hint
    assert not account.created
    assert not (project / "runs").exists()


def test_a_folder_without_a_model_is_refused(folder, account, begin):
    (folder / "config.json").unlink()
    with pytest.raises(Usage, match="no base model"):
        begin(job=JOB.model_copy(update={"model": "base"}))
    with pytest.raises(NotFound):
        model.check(folder / "nowhere")


def test_the_quote_knows_the_size_of_a_folder(folder, project):
    job = JOB.model_copy(update={"model": str(folder)})
    found = work(job, read_rows(project / "data.jsonl"), world=World())
    assert found.parameters == 2000


@pytest.mark.parametrize("name", ["bundled:tiny", "inbox/00:/x", "a/b", f"inbox/{'0' * 64}"])
def test_other_names_are_no_uploaded_models(name):
    assert border.uploaded_model(name) is None
