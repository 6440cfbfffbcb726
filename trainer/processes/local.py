"""Several processes of one training on this machine: this process starts, follows and ends them.

Each is ``python -m trainer job.json`` with its number in the environment, as torchrun would start it. But
they stay in this process group, send their events over a pipe, so that one process writes them, and end
when this process ends, even if it is killed.
"""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer import device
from trainer.contract import events
from trainer.contract.command.errors import BadJob, Fault, ProcessLost
from trainer.contract.job import Job
from trainer.contract.pod import EVENTS_FD
from trainer.processes import pipe
from trainer.processes.child import END_SECONDS, Child
from trainer.signals import STOP, StopRequest

COMMAND = (sys.executable, "-P", "-m", "trainer")
POLL = 0.5
# A process that lost another one reports less than the one that ended first.
LEAST_INFORMATIVE = {ProcessLost.exit_code: 1, Fault.exit_code: 2}
LOOP, CLOSING = frozenset({"train", "resume"}), frozenset({"save", "proof"})


class Rank(Child):
    """One of the processes; a line on its stdin requests a stop, and it ends when its stdin closes."""

    def terminate(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(STOP)
            self._process.stdin.flush()
        except BrokenPipeError:
            """It has ended; its exit code is read later."""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(END_SECONDS)
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


def wanted(job: Job) -> int:
    """Return how many processes to start for ``job``; 1: this process trains by itself.

    One per card, unless the job gives a number; never more than a step has rows. Raises ``BadJob`` if the
    machine has fewer cards than that.
    """
    most = job.batch_size if job.plan.processes is None else job.plan.processes
    if min(most, job.batch_size) == 1 or "RANK" in os.environ:
        return 1
    cards = device.count_cards()
    if job.plan.processes is not None and 0 < cards < job.plan.processes:
        raise BadJob(
            f"plan.processes = {job.plan.processes}, and this machine has {cards} cards",
            "use every card",
            settings=["plan.processes=null"],
        )
    if job.plan.processes is None:
        most = max(cards, 1)
    return min(most, job.batch_size)


def train(
    job_file: Path,
    log: Path,
    count: int,
    writer: pipe.Emitter,
    stop: StopRequest,
    *,
    resume: bool,
    to_the_end: bool = False,
) -> None:
    """Train with ``count`` processes; return when the result is complete.

    ``to_the_end``: all are needed until then, else only the first once it saves. Raises the ``Fault`` that
    one of them ended with, or ``KeyboardInterrupt`` for a request to stop before there is anything to save.
    """
    stop.in_loop = True
    command = [*COMMAND, str(job_file), *["--resume"] * resume]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    ranks: list[Rank] = []
    try:
        for number in range(count):
            ranks.append(_start(command, number, count, port, log))  # noqa: PERF401 - to be ended if one fails
        _follow(ranks, writer, stop, frozenset() if to_the_end else CLOSING)
    finally:
        stop.in_loop = False
        for rank in ranks:
            rank.kill()


def _start(command: Sequence[str], number: int, count: int, port: int, log: Path) -> Rank:
    pipe_end, end = os.pipe()
    os.set_blocking(pipe_end, False)
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = max((os.cpu_count() or 1) // count, 1)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "PYTHONPATH": path,
        EVENTS_FD: str(end),
    }
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=None if number == 0 else subprocess.DEVNULL,
                stderr=output,
                pass_fds=[end],
            )
    finally:
        os.close(end)
    return Rank(process, pipe_end)


def _follow(
    ranks: Sequence[Rank], writer: pipe.Emitter, stop: StopRequest, closing: frozenset[str]
) -> None:
    phase, asked, looked = "", False, False
    failed: dict[int, events.Failed] = {}
    while True:
        select.select([rank.pipe for rank in ranks if rank.pipe is not None], [], [], POLL)
        # The exit codes first: events that a process wrote before it ended are read after it.
        codes = [rank.poll() for rank in ranks]
        for number, rank in enumerate(ranks):
            for event in filter(None, map(events.parse, rank.lines())):
                if isinstance(event, events.Failed):
                    failed[number] = event
                elif number == 0:
                    writer.emit(event)
                    phase = event.name if isinstance(event, events.Phase) else phase
        # Once only the first is needed, it does not matter how the others end.
        needed = range(1 if phase in closing else len(ranks))
        if any(number in failed or codes[number] for number in needed):
            if looked:
                raise _cause([codes[number] for number in needed], failed, len(ranks))
            # Others report at once that they lost a process: look again for the one that ended first.
            looked = True
            continue
        if codes[0] == 0:
            return
        if stop.asked and not asked:
            if phase not in LOOP:
                raise KeyboardInterrupt
            asked = True
            for rank in ranks:
                rank.terminate()


def _cause(codes: Sequence[int | None], failed: dict[int, events.Failed], count: int) -> Fault:
    """Return why the first one ended: without an error message, else the fault that explains most."""
    for number, code in enumerate(codes):
        if code and number not in failed:
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            who = f"process {number + 1} of {count} ended {how} without an error message"
            return ProcessLost(who, "see train.log", settings=())
    reported = [failed[number] for number in range(len(codes)) if number in failed]
    event = min(reported, key=lambda event: LEAST_INFORMATIVE.get(event.exit_code, 0))
    kinds = {kind.exit_code: kind for kind in Fault.__subclasses__()}
    kind = kinds.get(event.exit_code, Fault)
    return kind(event.cause, event.hint, settings=event.settings)
