"""Real processes on gloo that lose one another: torch.distributed is the judge of what each then meets.

They are forked from one process that has imported torch, so that a case takes no longer than its limits.
"""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from trainer.contract.command.errors import ProcessLost

COUNT = 3
# What each process of a case does at its 20th exchange; the limits are a tenth of a second and a few.
RUNNER = """
import json, os, signal, socket, sys, time
import torch, torch.distributed
from pathlib import Path
from trainer.processes import collective, peers, rendezvous
from trainer.contract.command.errors import TrainingFailed, run_main

peers.BEAT, peers.SILENT, peers.END_WAITING, peers.SAY_AFTER = 0.1, 20, 0.3, 0.5
peers.LOADING, peers.STEP, peers.END_BUSY = 5.0, 3.0, 1.0
rendezvous.SAY_AFTER, rendezvous.ONE_MACHINE, rendezvous.SEVERAL_MACHINES, rendezvous.TO_ANSWER = 0.5, 5.0, 3.0, 1.0
COUNT, folder = int(sys.argv[1]), Path(sys.argv[2])

def misbehave(mode):
    if mode == "killed": os.kill(os.getpid(), signal.SIGKILL)
    if mode == "stopped": os.kill(os.getpid(), signal.SIGSTOP)
    if mode == "fault": raise TrainingFailed("the card broke")
    if mode == "bug": raise ValueError("a bug")
    if mode == "stuck": time.sleep(60)
    if mode == "slow": time.sleep(1.2)
    if mode == "interrupted": raise KeyboardInterrupt

def train(mode, gather):
    if mode == "never": os._exit(3)
    if mode == "late": time.sleep(2)
    try:
        collective.connect(lambda text: print(text, flush=True))
        assert torch.distributed.get_world_size() == COUNT
        for step in range(40):
            if step == 20:
                misbehave(mode)
            if gather != (mode == "apart" and step > 20):
                torch.distributed.all_gather_object([None] * COUNT, step)
            else:
                collective.any_of([False])
    except BaseException as error:
        lost = collective.lost_process_behind(error)
        collective.announce_end(lost or error)
        raise lost or error
    collective.leave()
    return 0

def case(name, modes, several):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    children = []
    for rank, mode in enumerate(modes):
        pid = os.fork()
        if pid == 0:
            out = os.open(folder / f"{name}{rank}", os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1), os.dup2(out, 2)
            os.environ.update(RANK=str(rank), WORLD_SIZE=str(COUNT), MASTER_ADDR="127.0.0.1")
            os.environ.update(MASTER_PORT=str(port), LOCAL_RANK="0" if several else str(rank))
            os.environ["LOCAL_WORLD_SIZE"] = "1" if several else str(COUNT)
            sys.exit(run_main(lambda _: train(mode, 'gather' in modes), []))
        children.append(pid)
    begun, codes = time.monotonic(), {}
    while len(codes) < COUNT and time.monotonic() < begun + 20:
        for rank, pid in enumerate(children):
            if rank not in codes and (found := os.waitpid(pid, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(found[1])
            elif len(codes) == COUNT - 1 and modes[rank] == "stopped":
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for rank in {*range(COUNT)} - codes.keys():
        os.kill(children[rank], signal.SIGKILL)
    said = [(folder / f"{name}{rank}").read_text() for rank in range(COUNT)]
    seconds = time.monotonic() - begun
    print(json.dumps({"name": name, "codes": codes, "said": said, "seconds": seconds}), flush=True)

for name, modes, several in json.load(sys.stdin):
    case(name, modes, several)
"""
CASES = {
    "well": (["", "late", ""], False),
    "slow": (["", "slow", ""], False),
    "killed": (["", "killed", ""], False),
    "first_killed": (["killed", "", ""], False),
    "first_stopped": (["stopped", "", ""], False),
    "stopped": (["gather", "gather", "stopped"], True),
    "stuck": (["", "stuck", ""], False),
    "apart": (["gather", "apart", "gather"], False),
    "fault": (["", "fault", ""], True),
    "first_bug": (["bug", "", ""], False),
    "interrupted": (["", "", "interrupted"], False),
    "never": (["", "never", ""], True),
    "first_never": (["never", "", ""], False),
}
LOST, KILLED = ProcessLost.exit_code, -signal.SIGKILL


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Return, by the name of a case, the exit codes, what each printed and the seconds that it took."""
    folder = tmp_path_factory.mktemp("peers")
    (folder / "runner.py").write_text(RUNNER)
    done = subprocess.run(
        [sys.executable, str(folder / "runner.py"), str(COUNT), str(folder)],
        input=json.dumps([[name, *case] for name, case in CASES.items()]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {case["name"]: case for case in found}


def test_processes_that_lose_nobody_say_nothing(seen):
    for name in ("well", "slow"):
        assert list(seen[name]["codes"].values()) == [0, 0, 0]
        first, *others = seen[name]["said"]
        assert others == ["", ""]
        # One that comes a second late, or takes long between two exchanges, is waited for aloud.
        assert re.fullmatch(r"waiting for process 2 of 3, for up to \d s\n", first), first


@pytest.mark.parametrize(
    ("name", "code", "cause"),
    [
        ("killed", KILLED, "process 2 of 3 ended without an error message"),
        ("first_killed", KILLED, "process 1 of 3 ended without an error message"),
        ("first_stopped", KILLED, "process 1 of 3 has not answered for 2 s"),
        ("stopped", KILLED, r"process 3 of 3 \(machine 3, \S+\) has not answered for 2 s"),
        ("stuck", LOST, "process 2 of 3 did not reach the others' exchange within 3 s"),
        ("apart", LOST, "processes 1, 2, 3 of 3 have waited for each other for 5 s"),
        ("fault", 9, r"process 2 of 3 \(machine 2, \S+\) ended: the card broke"),
        ("first_bug", 1, r"process 1 of 3 ended: internal error: ValueError\('a bug'\)"),
        ("interrupted", 130, "process 3 of 3 ended: interrupted"),
        ("never", 3, r"process 2 of 3 \(machine 2\) did not come within 3 s"),
        ("first_never", 3, r"process 1 of 3 at 127.0.0.1:\d+ did not come within 5 s"),
    ],
)
def test_those_that_are_left_say_in_one_message_who_was_lost(seen, name, code, cause):
    modes, _ = CASES[name]
    for number, mode in enumerate(modes):
        ended, said = seen[name]["codes"][str(number)], seen[name]["said"][number]
        lost = f"error: {cause}\n  -> .*\n"
        if mode in {"", "gather"}:
            assert ended == LOST, said
            assert re.fullmatch(f"(waiting for .*\n)?{lost}", said), said
        else:
            assert ended == code, said
            assert not re.search(lost, said) or name in {"stuck", "apart"}
    assert seen[name]["seconds"] < 10
