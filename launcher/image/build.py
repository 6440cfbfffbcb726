"""The image that pods run: built and pushed only when something that goes into it has changed.

Its tag is a hash of everything that goes in; what a run pins is the digest that the registry gave.
"""

import hashlib
import io
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from launcher import docker_engine
from launcher.errors import BuildFailed
from launcher.image import transfer
from launcher.settings import Settings
from launcher.view.amount_text import size
from trainer.contract.command.errors import BadJob, NotFound, Usage
from trainer.contract.event_text import clock

if TYPE_CHECKING:
    from launcher.context import Context

PARTS = ("Dockerfile", "constraints.txt", "pyproject.toml", "docker", "trainer", "datagen")
"""What the image is made of; ``.dockerignore`` admits the same."""
CODE = ("trainer", "datagen")
PACKED = Path("launcher", "image", "recipe")
"""Where an installed wheel has the parts beside the code; pyproject.toml puts them there."""
BASES = {
    "13.0": "nvidia/cuda:13.0.2-base-ubuntu24.04",
    "12.8": "nvidia/cuda:12.8.1-base-ubuntu24.04",
    "12.6": "nvidia/cuda:12.6.3-base-ubuntu24.04",
    "none": "debian:12-slim",
}
"""Base image for each CUDA that torch may be built for."""
UPLOAD = {"none": 970_000_000}
UPLOAD_CUDA = 3_400_000_000
"""Compressed bytes of the whole image: without CUDA as measured in a registry, with it from the pinned wheels' sizes."""
UPLOAD_CHANGE = 1_000_000
"""What is pushed at most when only our own code has changed."""
UPLINK = 12.5e6
"""Bytes a second of a home's link, for the rough figure only: 100 Mbit/s."""
CUDA_LABEL = "sft.cuda"
LOCAL = "sft-launch"
"""Repository of images that stay here."""
KEPT_LINES = 20


@dataclass(frozen=True)
class Recipe:
    """Everything that goes into an image, read once: what is edited meanwhile goes into the next."""

    files: Mapping[str, tuple[bytes, bool]]
    """Content, and whether it may be executed, by name in the build context."""
    arguments: Mapping[str, str]
    target: str = "train"

    @classmethod
    def read(cls, root: Path, arguments: Mapping[str, str]) -> Self:
        """Of the project in ``root``."""
        found = {
            name: (path.read_bytes(), bool(path.stat().st_mode & 0o100))
            for name, path in paths(root).items()
        }
        return cls(found, arguments)

    @cached_property
    def tag(self) -> str:
        """The target and 16 hexadecimal digits: equal for equal inputs on any machine."""
        digest = hashlib.sha256()
        for name, (content, executable) in self.files.items():
            inner = hashlib.sha256(content).hexdigest()
            digest.update(f"{name}\0{inner} {executable}\0".encode())
        for name, value in sorted(self.arguments.items()):
            digest.update(f"{name}={value}\0".encode())
        digest.update(self.target.encode())
        return f"{self.target}-{digest.hexdigest()[:16]}"

    def context(self) -> io.BytesIO:
        """What is sent to the engine: who owns a file and when it was checked out change nothing."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, (content, executable) in self.files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o755 if executable else 0o644
                tar.addfile(entry, io.BytesIO(content))
        packed.seek(0)
        return packed


@dataclass(frozen=True)
class ImageState:
    """How far an image is. ``digest``: the reference that pins it, once the registry has it.

    ``upload``: bytes still to be pushed, roughly; an earlier image of the same repository and CUDA on
    this engine is taken for pushed.
    """

    name: str
    digest: str | None
    built: bool
    upload: int


def recipe(settings: Settings, *, cuda: str | None = None) -> Recipe:
    """What the settings ask for, from the folder this code lies in.

    Raises:
        NotFound: no project there, as with an installed wheel.
        BadJob: the build arguments are malformed, or would put a password into the image's history.
    """
    root = Path(__file__).resolve().parents[2]
    if "Dockerfile" not in paths(root):
        raise NotFound(
            "the image is built from the project's folder, which this installation does not contain",
            "run launch from a clone, or name an existing image with --image",
        )
    flavour = cuda or settings.cuda
    arguments = {"CUDA": flavour, "BASE_IMAGE": BASES.get(flavour, "")}
    for word in shlex.split(settings.build_args):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadJob(f"build_args: {word!r} is not NAME=VALUE", "for example: CUDA=none")
        if "@" in value.partition("://")[2]:
            raise BadJob(
                f"build_args: {name} contains a password, and build arguments can be read from the image",
                "use an index or a registry without a password, or one that Docker is logged in to",
            )
        arguments[name] = value
    if not arguments["BASE_IMAGE"]:
        raise BadJob(
            f"no base image is known for CUDA {flavour}",
            f"use one of {', '.join(BASES)}, or add BASE_IMAGE=... to build_args",
        )
    return Recipe.read(root, arguments)


def repository(settings: Settings) -> str:
    """The repository to push to. Raises ``Usage`` with how to set it."""
    if settings.image_repo is None:
        raise Usage(
            "no repository to push the image to",
            "name a repository you may write to, for example --image-repo ghcr.io/me/sft-launch "
            "(or image_repo in launch.toml)",
        )
    return settings.image_repo


def publish(context: "Context", *, dry_run: bool = False) -> dict[str, Any]:
    """``launch image``: what the settings ask for, built and pushed; what was done, as facts."""
    where, what = repository(context.settings), recipe(context.settings)
    client = context.world.docker()
    if not dry_run:
        return {
            "state": "pushed",
            "image": ensure_image(what, where, client=client, context=context),
        }
    found = standing(what, where, client=client)
    state = "pushed" if found.digest else "built" if found.built else "absent"
    todo = {
        "pushed": "nothing to do",
        "built": "would push",
        "absent": "would build and push",
    }
    about = f" (about {size(found.upload)})" if found.upload else ""
    context.view.say(f"{todo[state]}{about}")
    return {
        "state": state,
        "upload_bytes": found.upload,
        "image": found.digest or found.name,
        "arguments": dict(what.arguments),
    }


def paths(root: Path) -> dict[str, Path]:
    """Every file that goes in, by its name in the build context, sorted."""
    found: dict[str, Path] = {}
    for part in PARTS:
        near = root if (root / "Dockerfile").is_file() or part in CODE else root / PACKED
        top = near / part
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            parts = path.relative_to(near).parts
            hidden = any(name.startswith(".") or name == "__pycache__" for name in parts)
            if path.is_file() and not hidden and path.suffix != ".pyc":
                found["/".join(parts)] = path
    return dict(sorted(found.items()))


def standing(what: Recipe, repository: str, *, client: Any) -> ImageState:
    """Ask registry and engine. Raises ``PushRefused`` where Docker is not logged in to the registry."""
    name = f"{repository}:{what.tag}"
    digest = _digest(repository, what.tag, client)
    upload = 0
    if digest is None:
        with docker_engine.explained("the Docker engine cannot list its images"):
            images = client.images.list(name=repository)
        cuda = what.arguments.get("CUDA", "")
        alike = [one for one in images if one.labels.get(CUDA_LABEL) == cuda]
        earlier = {tag for one in alike for tag in one.tags}
        whole = UPLOAD.get(cuda, UPLOAD_CUDA)
        upload = UPLOAD_CHANGE if earlier - {name} else whole
    return ImageState(name, digest, _built(name, client), upload)


def upload_line(found: ImageState) -> str:
    """What is still to be done for the image, as the quote shows it."""
    if found.digest is not None:
        return "  image: already in the registry"
    todo = "push" if found.built else "build and push"
    return (
        f"  image: {todo} before anything is rented, about {size(found.upload)} compressed, "
        f"{clock(found.upload / UPLINK)} at 100 Mbit/s (rough)"
    )


def ensure_image(what: Recipe, repository: str, *, client: Any, context: "Context") -> str:
    """Build and push what is missing; return ``repository@sha256:...``.

    Raises:
        BuildFailed: with the build's last lines.
        PushRefused: the registry refuses; nothing was built if that was known before.
        NoEngine: the engine fails.
    """
    found = standing(what, repository, client=client)
    if found.digest is not None:
        context.view.say(f"image {found.name} is already in the registry: nothing to build or push")
        return found.digest
    if not found.built:
        build(what, found.name, client=client, context=context)
    return transfer.push(repository, what.tag, client=client, context=context)


def ensure_built(what: Recipe, *, client: Any, context: "Context") -> str:
    """Build for this machine alone; return the image's name."""
    name = f"{LOCAL}:{what.tag}"
    if not _built(name, client):
        build(what, name, client=client, context=context, native=True)
    return name


def ensure_pulled(reference: str, *, client: Any, context: "Context") -> str:
    """Pull an image that exists elsewhere, unless it is here; return ``reference``. Raises ``NoEngine``."""
    if not _built(reference, client):
        context.view.say(f"pulling image {reference}")
        transfer.pull(reference, client=client, context=context)
    return reference


def build(
    what: Recipe, name: str, *, client: Any, context: "Context", native: bool = False
) -> None:
    """Build ``name``; each of the Dockerfile's steps is a line. Pods are amd64, unless ``native``."""
    context.view.say(f"building image {name}")
    platform = None if native or docker_engine.architecture(client) == "amd64" else "linux/amd64"
    said: list[str] = []
    what_fails = "the image cannot be built"
    with docker_engine.explained(what_fails), what.context() as archive:
        answer = client.api.build(
            fileobj=archive,
            custom_context=True,
            tag=name,
            target=what.target,
            buildargs=dict(what.arguments),
            platform=platform,
            labels={CUDA_LABEL: what.arguments.get("CUDA", "")},
            rm=True,
            forcerm=True,
            decode=True,
        )
    for line in docker_engine.stream(what_fails, answer):
        transfer.stop_if_interrupted(context)
        if "error" in line:
            raise BuildFailed(
                f"{what_fails}: {str(line['error']).strip()}",
                "see the reason in the lines above; finished build steps are kept",
                faults=said[-KEPT_LINES:],
            )
        for text in str(line.get("stream", "")).splitlines():
            if text.strip():
                said.append(text.rstrip())
            if text.startswith("Step "):
                context.view.say(f"  {text.strip()}")


def _built(name: str, client: Any) -> bool:
    import docker.errors

    with docker_engine.explained("the Docker engine cannot list its images"):
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
    return True


def _digest(repository: str, tag: str, client: Any) -> str | None:
    """The pinned reference, ``None`` when the registry has no such tag or does not tell."""
    import docker.errors

    with docker_engine.explained(f"{repository} cannot be looked up in its registry"):
        try:
            told = client.api.inspect_distribution(f"{repository}:{tag}")
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as error:
            said = str(error.explanation or error)
            host = docker_engine.registry_of(repository)
            if (
                docker_engine.DENIED.search(said)
                and not docker_engine.logins(client).login(host)[0]
            ):
                raise docker_engine.refused(repository, said, client=client) from None
            # Some registries deny what does not exist yet; the push will say.
            return None
    return f"{repository}@{told['Descriptor']['digest']}"
