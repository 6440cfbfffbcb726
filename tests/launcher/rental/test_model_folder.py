"""A base model that is a folder: what goes to the pod, and what is refused before anything is rented."""

import shutil
import tarfile

import pytest

from launcher.quote.estimate import training_size
from launcher.request import Request
from launcher.runs import model_folder
from launcher.runs.resume_check import model_sha256
from launcher.train import train
from launcher.world import World
from tests.launcher.rental.conftest import JOB
from trainer.contract import pod as border
from trainer.contract.command.errors import NotFound, ResumeRefused, TrainingFailed, Usage
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
        model_folder.pack(at, tmp_path / f"{at.name}.tar")
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
        file.truncate(model_folder.MOST + 1)
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
        model_folder.check(folder / "nowhere")


def test_the_quote_knows_the_size_of_a_folder(folder, project):
    job = JOB.model_copy(update={"model": str(folder)})
    found = training_size(job, read_rows(project / "data.jsonl"), world=World())
    assert found.parameters == 2000


def changed(path):
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", ["base/sub/b.txt", "base/model.safetensors", "data.jsonl"])
def test_what_has_changed_is_refused_before_another_pod_is_rented(
    folder, project, account, world, view, begin, name
):
    account.behaviour = "fail"
    with pytest.raises(TrainingFailed):
        begin(job=JOB.model_copy(update={"model": "base"}))
    begun = model_sha256(JOB.model_copy(update={"model": str(folder)}))
    what = "data" if name == "data.jsonl" else "model"
    changed(project / name)
    with pytest.raises(
        ResumeRefused, match=f"is not the {what} that the run started with"
    ) as caught:
        train(Request(resume="a"), world=world, view=view)
    assert len(account.created) == 1
    named = {"model": str(folder), "data": str(project / "data.jsonl")}[what]
    assert named in caught.value.cause
    if what == "model":
        now = model_sha256(JOB.model_copy(update={"model": str(folder)}))
        assert begun is not None
        assert now is not None
        assert begun[:12] in caught.value.cause
        assert now[:12] in caught.value.cause


def test_a_model_that_is_the_same_goes_on(folder, account, world, view, begin):
    account.behaviour = "fail"
    with pytest.raises(TrainingFailed):
        begin(job=JOB.model_copy(update={"model": "base"}))
    changed(folder / ".cache" / "c")  # hidden: no part of the model
    account.behaviour = "good"
    assert train(Request(resume="a"), world=world, view=view).manifest.complete


def test_a_model_that_changes_while_the_pod_comes_up_is_not_sent(
    folder, account, begin, monkeypatch
):
    boot = account.boot

    def slow(machine):
        changed(folder / "config.json")
        boot(machine)

    monkeypatch.setattr(account, "boot", slow)
    with pytest.raises(ResumeRefused):
        begin(job=JOB.model_copy(update={"model": "base"}))
    (machine,) = account.machines.values()
    assert not list((machine.root / "inbox").iterdir())
    assert not account.alive()


def test_the_digest_is_of_names_and_contents(folder, tmp_path):
    def digest(at):
        return model_sha256(JOB.model_copy(update={"model": str(at)}))

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert digest(copy) == digest(folder)
    (copy / "sub" / "b.txt").rename(copy / "sub" / "c.txt")
    assert digest(copy) != digest(folder)
    assert model_sha256(JOB) is None
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(model_folder.MOST + 1)
    large = digest(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(model_folder.MOST + 2)
    assert digest(folder) != large


@pytest.mark.parametrize("name", ["bundled:tiny", "inbox/00:/x", "a/b", f"inbox/{'0' * 64}"])
def test_other_names_are_no_uploaded_models(name):
    assert border.uploaded_model(name) is None
