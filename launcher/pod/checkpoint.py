"""The newest checkpoint: downloaded when a run ends early, uploaded to the next pod when it is resumed."""

import shlex
from pathlib import Path

from launcher.errors import PodRefused
from launcher.pod import transfer
from launcher.pod.connection import PodConnection
from launcher.runs.run_folder import Run
from trainer.contract import pod as border

FOLDER = "checkpoints"
MARK = "checkpoint.json"
"""Written last in a checkpoint's folder: without it the checkpoint does not count."""


def newest_here(run: Run) -> Path | None:
    """The folder of the newest whole checkpoint in the run folder."""
    return _newest(list((run.folder / FOLDER).glob(f"checkpoint-*/{MARK}")))


def _newest(marks: list[Path]) -> Path | None:
    steps = {int(p.parent.name.rsplit("-", 1)[-1]): p.parent for p in marks if _numbered(p)}
    return steps[max(steps)] if steps else None


def _numbered(mark: Path) -> bool:
    return mark.parent.name.rsplit("-", 1)[-1].isdigit()


def download_newest(run: Run, connection: PodConnection) -> str | None:
    """Download and verify the pod's newest checkpoint, its mark last; return its name, None without one."""
    root = f"{border.run_folder(run.id)}/{FOLDER}"
    listed = connection.link.ask(
        lambda session: session.run(
            f"cd {shlex.quote(root)} 2>/dev/null && ls -d checkpoint-*/{MARK} 2>/dev/null; true"
        )
    )
    newest = _newest([Path(text) for text in listed.stdout.decode().splitlines()])
    if newest is None:
        return None
    there = f"{root}/{newest.name}"
    files = transfer.hashes(connection.link, there, ["."])
    if MARK not in files:
        raise PodRefused(f"the pod's checkpoint {newest.name} cannot be read")
    here = run.folder / FOLDER / newest.name
    here.mkdir(parents=True, exist_ok=True)
    mark = files.pop(MARK)
    transfer.download(connection.link, there, here, files)
    transfer.download(connection.link, there, here, {MARK: mark})
    return newest.name


def send(run: Run, folder: Path, connection: PodConnection) -> None:
    """Put a checkpoint into the pod's run folder, its mark last; what is there is not sent again."""
    there = f"{border.run_folder(run.id)}/{FOLDER}/{folder.name}"
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    names.sort(key=lambda name: name == Path(MARK))
    for name in names:
        source, target = folder / name, f"{there}/{name.as_posix()}"
        size = source.stat().st_size
        if connection.link.ask(lambda session, at=target: session.size(at)) == size:  # type: ignore[misc]
            continue
        landed = transfer.upload(connection.link, source, str(border.inbox(run.id)))
        command = f"mkdir -p {shlex.quote(target.rsplit('/', 1)[0])} && cp {landed} {shlex.quote(target)}.new"
        command += f" && mv -f {shlex.quote(target)}.new {shlex.quote(target)} && rm -f {landed}"
        done = connection.link.ask(lambda session, what=command: session.run(what))  # type: ignore[misc]
        if done.code != 0:
            raise PodRefused(f"the pod cannot store {name}: {done.stderr.decode(errors='replace')}")
