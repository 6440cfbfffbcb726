"""``launch doctor``: check what a user may want to do here, and show how to fix what is missing."""

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from launcher import docker_engine, secrets
from launcher.machines.here import NEEDED, TO_EVALUATE
from launcher.quote.local_gpus import local_cards
from launcher.rental.offer import DRIFT
from launcher.settings import FoundSettings
from launcher.world import World
from trainer.contract.command.errors import Fault, Usage
from trainer.contract.command.installing import install

ENOUGH = 2e9  # bytes free for results
TEACHER = "OPENROUTER_API_KEY"


@dataclass(frozen=True)
class Finding:
    """``ok`` is None where something is missing that this user may not need. ``group``: what it is for."""

    what: str
    ok: bool | None
    detail: str
    remedy: str = ""
    group: str = ""

    def facts(self) -> dict[str, Any]:
        return asdict(self)


Check = Callable[[FoundSettings, World], Iterator[Finding]]


def examine(found: FoundSettings, *, world: World, groups: Collection[str] = ()) -> list[Finding]:
    """Every check, or those of ``groups``; one that fails does not keep the others from being made.

    What is missing for a purpose that this user has not begun is not needed.
    """
    needed = groups or _begun(found, world)
    findings: list[Finding] = []
    for group, checks in CHECKS.items():
        if groups and group not in groups:
            continue
        for name, check in checks.items():
            for one in _made(name, check, found, world):
                ok = None if one.ok is False and group not in needed else one.ok
                findings.append(replace(one, ok=ok, group=group))
    return findings


def _begun(found: FoundSettings, world: World) -> set[str]:
    """The purposes for which this user has set something up; to train here, if there is no other."""
    settings = found.settings
    named = (
        settings.image or settings.image_repo or {"gpu", "registry", "volume"} & {*found.sources}
    )
    if not named and secrets.find(secrets.RUNPOD, world) is None:
        return {HERE, DISK}
    return {RENT, DISK, *[DOCKER] * (settings.image is None)}


def _made(name: str, check: Check, found: FoundSettings, world: World) -> Iterator[Finding]:
    """The findings of one check; a failure is one of them."""
    try:
        yield from check(found, world)
    except Fault as fault:
        yield Finding(name, ok=False, detail=fault.cause, remedy=fault.hint)
    except Exception as error:
        # One check must not keep the rest from being shown.
        if world.variable("SFT_TRACEBACK") == "1":
            raise
        what = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        remedy = "to see where: SFT_TRACEBACK=1 launch doctor"
        yield Finding(name, ok=False, detail=what, remedy=remedy)


def _installed(packages: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Package → version of those that are installed, and the others."""
    versions: dict[str, str] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions, [name for name in packages if name not in versions]


def _packages(extra: str, packages: Collection[str]) -> Finding:
    versions, missing = _installed(packages)
    return Finding(
        "packages",
        ok=not missing,
        detail=f"missing: {', '.join(missing)}"
        if missing
        else ", ".join(f"{name} {number}" for name, number in versions.items()),
        remedy=install(extra),
    )


def _trainer(_: FoundSettings, __: World) -> Iterator[Finding]:
    yield _packages("train", NEEDED)


def _card(_: FoundSettings, world: World) -> Iterator[Finding]:
    cards = local_cards(world)
    if not cards:
        yield Finding("card", ok=None, detail="no NVIDIA card: training runs on the CPU")
        return
    versions, _missing = _installed(["torch"])
    unused = versions.get("torch", "").endswith("+cpu")
    yield Finding(
        "card",
        ok=not unused,
        detail=", ".join(f"{card.name} ({card.memory} GB)" for card in cards)
        + "; torch is its build without CUDA" * unused,
        remedy="install torch's build for CUDA: pytorch.org/get-started/locally",
    )


def _datagen(_: FoundSettings, world: World) -> Iterator[Finding]:
    packages = _packages("datagen", (*TO_EVALUATE, "aiohttp", "openai"))
    yield packages
    if packages.ok:
        said = world.answer(world.python("datagen", "sandbox", "--json"))
        try:
            level = str(json.loads(said or "")["level"])
        except (ValueError, KeyError, TypeError):
            level = "unknown"
        yield Finding(
            "sandbox",
            ok=level == "full" or None,
            detail=f"level {level}",
            remedy="what it does not stop: datagen sandbox; docker compose has level full",
        )


def _teacher(_: FoundSettings, world: World) -> Iterator[Finding]:
    secret = secrets.find(TEACHER, world)
    yield Finding(
        "teacher key",
        ok=None if secret is None else True,
        detail=f"no {TEACHER}" if secret is None else f"from {secret.source}",
        remedy="make one at openrouter.ai, or use your own server: datagen episodes --teacher URL",
    )


def _key(_: FoundSettings, world: World) -> Iterator[Finding]:
    secret = secrets.runpod(world)
    yield Finding("key", ok=True, detail=f"from {secret.source}")


def _api(found: FoundSettings, world: World) -> Iterator[Finding]:
    secret = secrets.find(secrets.RUNPOD, world)
    if secret is None:
        return
    with world.api(secret.value) as api:
        pods = api.pods()
        yield Finding("api", ok=True, detail=f"answers; {len(pods)} pods in the account")
        drift = api.clock_drift()
        if drift is not None:
            yield Finding(
                "clock",
                ok=abs(drift) <= DRIFT,
                detail=f"{abs(drift):.0f} s {'ahead of' if drift > 0 else 'behind'} RunPod's",
                remedy="set this machine's clock (timedatectl set-ntp true): deadlines depend on it",
            )
        names = [item.name for item in api.registries()]
        wanted = found.settings.registry
        yield Finding(
            "registry credentials",
            ok=None if wanted is None else wanted in names,
            detail=", ".join(names) or "none at RunPod; public images need none",
            remedy="launch doctor --add-registry NAME --username USER < pull-token",
        )


def _hub(_: FoundSettings, world: World) -> Iterator[Finding]:
    secret = secrets.find(secrets.HUGGING_FACE, world)
    yield Finding(
        "hugging face",
        ok=None if secret is None else True,
        detail="no token" if secret is None else f"from {secret.source}",
        remedy="only gated models need one: hf auth login",
    )


def _image(found: FoundSettings, world: World) -> Iterator[Finding]:
    settings = found.settings
    where = settings.image or settings.image_repo
    yield Finding(
        "image",
        ok=where is not None,
        detail=where or "no image, and no repository to push one to",
        remedy="set image_repo in launch.toml, or give --image",
    )
    if settings.image is None and settings.image_repo is not None:
        from launcher.docker_engine.config import Logins

        host = docker_engine.registry_of(settings.image_repo)
        logins = Logins.read(world.variable, world.home())
        source, failed = logins.login(host)
        yield Finding(
            "registry login",
            ok=True if source else False if failed else None,
            detail=f"{host}: {source or failed or 'no login in Docker'}",
            remedy=logins.remedy(host),
        )


def _engine(_: FoundSettings, world: World) -> Iterator[Finding]:
    client = world.docker()
    yield Finding("engine", ok=True, detail=f"Docker {docker_engine.version(client)}")
    nvidia = docker_engine.has_nvidia(client)
    yield Finding(
        "engine's GPU",
        ok=nvidia or None,
        detail="NVIDIA runtime" if nvidia else "no NVIDIA runtime: containers train on the CPU",
    )


def _ssh(_: FoundSettings, world: World) -> Iterator[Finding]:
    from launcher.ssh import make_key

    path = world.state_folder() / "keys" / ".doctor"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        make_key(path)
    except OSError as error:
        yield Finding("ssh", ok=False, detail=str(error), remedy=f"make {path.parent} writable")
    else:
        path.unlink()
        yield Finding(
            "ssh",
            ok=True,
            detail=f"SSH keys of runs are kept in {path.parent} until the pod is deleted",
        )


def _disk(_: FoundSettings, __: World) -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding(
        "disk",
        ok=free > ENOUGH,
        detail=f"{free / 1e9:.1f} GB free here",
        remedy="free some space: a 7B adapter and its checkpoints take about a gigabyte",
    )


def add_registry(name: str, username: str | None, token: str, *, world: World) -> None:
    """Store a pull credential at RunPod; the token is kept nowhere here."""
    if not username or not token:
        raise Usage(
            "a registry credential needs a user and a token",
            "launch doctor --add-registry NAME --username USER < file-with-the-token",
        )
    with world.api(secrets.runpod(world).value) as api:
        api.create_registry(name, username, token)


def add_volume(name: str, data_center: str | None, size: int, *, world: World) -> str:
    """Make a network volume of ``size`` GB at RunPod; what was made, as a line."""
    if not data_center:
        raise Usage(
            "a network volume needs a data center",
            "launch doctor --add-volume NAME --data-center US-KS-2 --mount 40",
        )
    with world.api(secrets.runpod(world).value) as api:
        made = api.create_volume(name, size=size, data_center=data_center)
    return f"volume {made.name} of {made.size} GB in {made.data_center}: billed until it is deleted"


HERE, DOCKER, RENT = "train on this machine", "train in Docker", "rent a card at RunPod"
DATA, MODELS, DISK = "make data and evaluate", "models from the hub", "results"
CHECKS: dict[str, dict[str, Check]] = {
    HERE: {"packages": _trainer, "card": _card},
    MODELS: {"hugging face": _hub},
    DATA: {"packages": _datagen, "teacher key": _teacher},
    DOCKER: {"engine": _engine},
    RENT: {"key": _key, "api": _api, "image": _image, "ssh": _ssh},
    DISK: {"disk": _disk},
}


def lines(findings: list[Finding]) -> list[str]:
    """A heading for each purpose, one line a finding, the remedy under what is missing."""
    shown: list[str] = []
    group = None
    for item in findings:
        if item.group != group:
            group = item.group
            shown.append(f"{group}:")
        mark = {True: "ok", False: "MISSING", None: "-"}[item.ok]
        shown.append(f"{mark:>9} {item.what}: {item.detail}")
        if item.ok is not True and item.remedy:
            shown.append(f"          -> {item.remedy}")
    missing = [f"{item.what} ({item.group})" for item in findings if item.ok is False]
    if missing:
        return [*shown, f"missing: {', '.join(missing)}"]
    return [*shown, "nothing is missing; what is marked - is needed for its own purpose only"]
