"""What goes into the image's tag, and what is done when some of it is there already. No engine here."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from launcher.context import Context
from launcher.docker_engine import registry_of
from launcher.docker_engine.config import Logins
from launcher.errors import BuildFailed, PushRefused
from launcher.image import build
from launcher.settings import Settings
from launcher.world import Interrupts, World
from trainer.contract.command.errors import BadJob, Fault, Interrupted, Usage

ROOT = Path(__file__).resolve().parents[3]
REPOSITORY = "registry.example/me/sft"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with everything of which an image is made."""
    root = tmp_path / "project"
    for part in build.PARTS:
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            (root / part / "sub").mkdir(parents=True)
            (root / part / "sub" / "code.py").write_text("x = 1\n")
        else:
            shutil.copy(ROOT / part, root / part)
    return root


def recipe(root: Path, **arguments: str) -> build.Recipe:
    return build.Recipe.read(root, {"CUDA": "13.0", **arguments})


class Engine:
    """Answers as the docker package does; remembers what it was asked for."""

    def __init__(
        self,
        *,
        tags: Mapping[str, str] | None = None,
        images: set[str] | None = None,
        build: list[dict[str, Any]] | None = None,
        push: list[dict[str, Any]] | None = None,
        denies: str = "",
        cuda: str = "13.0",
    ) -> None:
        self.api = self.images = self
        self.tags, self.local = dict(tags or {}), set(images or ())
        self.lines = {"build": build or [], "push": push or [{"aux": {"Digest": "sha256:new"}}]}
        self.denies, self.cuda = denies, cuda
        self.asked: list[str] = []
        self._auth_configs = Logins({}, Path("config.json"), "")

    def version(self) -> dict[str, str]:
        return {"Arch": "arm64"}

    def get(self, name: str) -> None:
        if name not in self.local:
            raise docker.errors.ImageNotFound("no such image")

    def list(self, *, name: str) -> list[SimpleNamespace]:
        mine = [tag for tag in self.local if tag.startswith(f"{name}:")]
        return [SimpleNamespace(tags=[tag], labels={"sft.cuda": self.cuda}) for tag in mine]

    def inspect_distribution(self, name: str) -> dict[str, Any]:
        if self.denies:
            raise docker.errors.APIError(self.denies, explanation=self.denies)
        if name not in self.tags:
            raise docker.errors.NotFound("manifest unknown")
        return {"Descriptor": {"digest": self.tags[name]}}

    def build(self, **how: Any) -> Any:
        self.asked.append(f"build {how['tag']} for {how['platform']}")
        return iter(self.lines["build"])

    def push(self, repository: str, *, tag: str, **how: Any) -> Any:
        self.asked.append(f"push {repository}:{tag}")
        return iter(self.lines["push"])


@pytest.fixture
def context(heard) -> Context:
    return Context(World(), heard)


def test_the_tag_tells_every_change_and_nothing_else(project):
    tag = recipe(project).tag
    assert tag.startswith("train-")
    assert recipe(project).tag == tag
    copy = project.parent / "elsewhere"
    shutil.copytree(project, copy)
    for litter in ("trainer/__pycache__/a.pyc", "trainer/.hidden", "README.md", "tests/test_x.py"):
        (copy / litter).parent.mkdir(parents=True, exist_ok=True)
        (copy / litter).write_text("litter")
    assert recipe(copy).tag == tag
    seen = {tag, recipe(project, CUDA="none").tag, replace(recipe(project), target="cpu").tag}
    for name, path in build.paths(project).items():
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        seen.add(recipe(project).tag)
        path.write_bytes(before)
        path.chmod(0o755)
        seen.add(recipe(project).tag)
        path.chmod(0o644)
        assert recipe(project).tag == tag, name
    assert len(seen) == 3 + 2 * len(build.paths(project))


def test_what_is_edited_during_a_build_goes_into_the_next(project):
    what = recipe(project)
    context = what.context().read()
    (project / "trainer" / "sub" / "code.py").write_text("x = 2\n")
    assert what.context().read() == context
    assert what.tag != recipe(project).tag


def test_the_ignore_file_admits_what_is_sent():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == set(build.PARTS)
    sent = build.paths(ROOT)
    assert {
        "Dockerfile",
        "trainer/start_training.py",
        "trainer/tiny/model/model.safetensors",
    } <= set(sent)
    assert not [name for name in sent if name.endswith(".pyc") or "/." in name]


def test_nothing_of_the_environment_goes_in(monkeypatch):
    for name in ("HF_TOKEN", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "https://me:secret@index.example")
    arguments = build.recipe(Settings()).arguments
    assert arguments == {"CUDA": "13.0", "BASE_IMAGE": build.BASES["13.0"]}
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"BASE_IMAGE={arguments['BASE_IMAGE']}\n" in dockerfile


def test_build_arguments_are_read_and_judged():
    own = build.recipe(Settings(build_args="BASE_IMAGE='a b' CUDA=none"))
    assert own.arguments == {"BASE_IMAGE": "a b", "CUDA": "none"}
    assert build.recipe(Settings(), cuda="none").arguments["BASE_IMAGE"] == build.BASES["none"]
    for wrong, why in (
        ("CUDA", "NAME=VALUE"),
        ("PIP_EXTRA_INDEX_URL=https://me:secret@index.example/x", "password"),
        ("BASE_IMAGE=", "base image"),
    ):
        with pytest.raises(BadJob, match=why) as caught:
            build.recipe(Settings(build_args=wrong))
        assert "secret" not in str(caught.value)
    with pytest.raises(BadJob, match=r"9\.9"):
        build.recipe(Settings(cuda="9.9"))


def test_nothing_is_built_or_pushed_that_is_there(project, context, heard):
    what = recipe(project)
    name = f"{REPOSITORY}:{what.tag}"
    there = Engine(tags={name: "sha256:old"})
    pinned = build.ensure_image(what, REPOSITORY, client=there, context=context)
    assert (pinned, there.asked) == (f"{REPOSITORY}@sha256:old", [])
    built = Engine(images={name})
    pinned = build.ensure_image(what, REPOSITORY, client=built, context=context)
    assert (pinned, built.asked) == (f"{REPOSITORY}@sha256:new", [f"push {name}"])
    fresh = Engine(build=[{"stream": "Step 1/1 : FROM x\n"}])
    build.ensure_image(what, REPOSITORY, client=fresh, context=context)
    assert fresh.asked == [f"build {name} for linux/amd64", f"push {name}"]
    assert "  Step 1/1 : FROM x" in heard.lines
    local = Engine()
    assert build.ensure_built(what, client=local, context=context) == f"{build.LOCAL}:{what.tag}"
    assert local.asked == [f"build {build.LOCAL}:{what.tag} for None"]


def test_the_quote_says_what_is_to_be_pushed_and_how_long_that_takes():
    absent = build.ImageState("x", None, built=False, upload=3_400_000_000)
    assert build.upload_line(absent) == (
        "  image: build and push before anything is rented, about 3.4 GB compressed, 4:32 at 100 Mbit/s "
        "(rough)"
    )
    assert "image: push before" in build.upload_line(replace(absent, built=True))
    assert build.upload_line(replace(absent, digest="x@y", upload=0)) == (
        "  image: already in the registry"
    )


@pytest.fixture
def published(context, monkeypatch):
    """`published(engine, ...)`: the verb's facts, with this project and that engine."""

    def call(engine: Engine, *, dry_run: bool, **settings: str) -> dict[str, Any]:
        monkeypatch.setattr(context.world, "docker", lambda: engine)
        there = replace(context, settings=Settings(**settings))
        return build.publish(there, dry_run=dry_run)

    return call


def test_the_verb_says_what_it_would_do_and_does_it(published, heard):
    where = {"image_repo": REPOSITORY}
    name = f"{REPOSITORY}:{build.recipe(Settings()).tag}"
    for engine, told in (
        (Engine(), "would build and push (about 3.4 GB)"),
        (Engine(images={name}), "would push (about 3.4 GB)"),
        (Engine(images={f"{REPOSITORY}:old"}), "would build and push (about 1.0 MB)"),
        (Engine(images={f"{REPOSITORY}:old"}, cuda="none"), "would build and push (about 3.4 GB)"),
        (Engine(tags={name: "sha256:old"}), "nothing to do"),
    ):
        facts = published(engine, dry_run=True, **where)
        assert (heard.lines[-1], engine.asked) == (told, [])
        assert facts["image"] in {name, f"{REPOSITORY}@sha256:old"}
    assert published(Engine(), dry_run=False, **where)["image"] == f"{REPOSITORY}@sha256:new"
    with pytest.raises(Usage, match="--image-repo"):
        published(Engine(), dry_run=False)


@pytest.mark.parametrize(
    ("engine", "kind", "words"),
    [
        (Engine(denies="denied: requested access"), PushRefused, "docker login registry.example"),
        (Engine(push=[{"error": "unauthorized: x"}]), PushRefused, "docker login registry.example"),
        (Engine(push=[{"error": "EOF"}]), PushRefused, "same command again"),
        (Engine(push=[{"status": "odd"}]), PushRefused, "no digest"),
        (Engine(build=[{"stream": "why\n"}, {"error": "it broke"}]), BuildFailed, "it broke"),
    ],
)
def test_a_refusal_says_what_to_do(project, context, engine, kind, words):
    with pytest.raises(Fault) as caught:
        build.ensure_image(recipe(project), REPOSITORY, client=engine, context=context)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert engine.asked[:1] != ["build"] or not engine.denies


def test_a_build_can_be_interrupted(project, heard):
    context = Context(World(), heard, interrupts=Interrupts(1))
    engine = Engine(build=[{"stream": "Step 1/1\n"}])
    with pytest.raises(Interrupted, match="kept"):
        build.ensure_image(recipe(project), REPOSITORY, client=engine, context=context)
    assert [one.split()[0] for one in engine.asked] == ["build"]


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("ghcr.io/me/x", "ghcr.io"),
        ("me/x", "docker.io"),
        ("localhost/x", "localhost"),
        ("localhost:5000/x", "localhost:5000"),
        ("x", "docker.io"),
    ],
)
def test_which_registry_a_repository_is_on(repository, host):
    assert registry_of(repository) == host
