"""Download a pod's result by its manifest: adapter, evaluation, or the newest checkpoint of an incomplete run."""

from launcher.errors import PodRefused
from launcher.pod import checkpoint, transfer
from launcher.pod.connection import PodConnection
from launcher.rental.rental_context import Rental
from trainer.contract import episodes, manifest
from trainer.contract import pod as border
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import NotFound, ResultRejected


def is_here(rental: Rental) -> bool:
    """Whether the newest pod's result is in the run folder, complete and verified."""
    if rental.state.pod is None or not rental.state.pod.fetched:
        return False
    try:
        manifest.verify(rental.run.folder)
    except (NotFound, ResultRejected):
        return False
    return True


def result(rental: Rental, connection: PodConnection, *, evaluated: bool) -> bool:
    """Download and verify the result; False if the pod has none. Does not delete anything."""
    run, link = rental.run, connection.link
    there = str(border.run_folder(run.id))
    try:
        raw = link.ask(lambda session: b"".join(session.stream(f"{there}/{manifest.NAME}")))
    except NotFound:
        _checkpoint(rental, connection)
        return False
    proof = manifest.parse(raw, source=f"{manifest.NAME} on pod {rental.pod_id}")
    total = sum(file.size for file in proof.files.values())
    done = 0

    def got(count: int) -> None:
        nonlocal done
        done += count
        rental.context.view.progress("download (bytes)", min(done, total), total)

    if evaluated and proof.complete:
        _evaluation(rental, connection)
    with rental.log.effect("fetch", files=len(proof.files), bytes=total):
        transfer.download(link, there, run.folder, proof.files, got=got)
        write_whole(run.manifest, raw)
        manifest.verify(run.folder)
    if not proof.complete:
        _checkpoint(rental, connection)
    return True


def _evaluation(rental: Rental, connection: PodConnection) -> None:
    """Download the results of the evaluation, also partial ones. The adapter does not depend on them."""
    there = str(border.run_folder(rental.run.id))
    try:
        with rental.log.effect("evaluation") as outcome:
            found = transfer.hashes(connection.link, there, episodes.RESULTS)
            # The pod chooses the names: accept only these, so that it cannot write other files of the run folder.
            files = {k: v for k, v in found.items() if k.split("/")[0] in episodes.RESULTS}
            transfer.download(connection.link, there, rental.run.folder, files)
            outcome["files"] = len(files)
    except (ResultRejected, PodRefused, NotFound) as fault:
        rental.say(f"the evaluation cannot be downloaded: {fault.cause}")


def _checkpoint(rental: Rental, connection: PodConnection) -> None:
    """Download the checkpoint from which a resumed run continues in another pod."""
    with rental.log.effect("checkpoint") as outcome:
        outcome["brought"] = checkpoint.download_newest(rental.run, connection)
