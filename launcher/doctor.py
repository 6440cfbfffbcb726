"""``launch doctor``: check what a run needs, and show how to fix what is missing."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher import docker_engine, secrets
from launcher.rental.offer import DRIFT
from launcher.settings import FoundSettings
from launcher.world import World
from trainer.contract.command.errors import Fault, Usage

ENOUGH = 2e9  # bytes free for results


@dataclass(frozen=True)
class Finding:
    """``ok`` is None where something is missing that only some runs need."""

    what: str
    ok: bool | None
    detail: str
    remedy: str = ""

    def facts(self) -> dict[str, Any]:
        return asdict(self)


Check = Callable[[FoundSettings, World], Iterator[Finding]]


def examine(found: FoundSettings, *, world: World) -> list[Finding]:
    """Every check; one that fails does not keep the others from being made."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings.extend(check(found, world))
        except Fault as fault:
            findings.append(Finding(name, ok=False, detail=fault.cause, remedy=fault.hint))
        except Exception as error:
            # One check must not keep the rest from being shown.
            if world.variable("SFT_TRACEBACK") == "1":
                raise
            what = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
            remedy = "to see where: SFT_TRACEBACK=1 launch doctor"
            findings.append(Finding(name, ok=False, detail=what, remedy=remedy))
    return findings


def _key(found: FoundSettings, world: World) -> Iterator[Finding]:
    secret = secrets.runpod(world)
    yield Finding("key", ok=True, detail=f"from {secret.source}")
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


def _engine(found: FoundSettings, world: World) -> Iterator[Finding]:
    try:
        version = docker_engine.version(world.docker())
        yield Finding("engine", ok=True, detail=f"Docker {version}")
    except Fault as fault:
        needed = found.settings.image is None
        yield Finding("engine", ok=False if needed else None, detail=fault.cause, remedy=fault.hint)


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


CHECKS: dict[str, Check] = {
    "key": _key,
    "hugging face": _hub,
    "image": _image,
    "engine": _engine,
    "ssh": _ssh,
    "disk": _disk,
}


def lines(findings: list[Finding]) -> list[str]:
    """One line a finding, the remedy under what is missing."""
    shown: list[str] = []
    for item in findings:
        mark = {True: "ok", False: "MISSING", None: "-"}[item.ok]
        shown.append(f"{mark:8} {item.what}: {item.detail}")
        if item.ok is not True and item.remedy:
            shown.append(f"         -> {item.remedy}")
    return shown
