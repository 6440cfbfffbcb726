"""A canary for each secret of a laptop, and a search of all that a run shows or leaves, anywhere."""

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.client import until
from tests.system.laptop import Laptop
from tests.system.story import Story, rows
from trainer.contract import pod as border

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
HF = "hf_CANARY0123456789abcdef"
CANARIES = {
    "HF_TOKEN": HF,
    "OPENROUTER_API_KEY": "sk-or-CANARY0123456789abcdef",
    "WANDB_API_KEY": "CANARY0123456789abcdef0123456789abcdef01",
}
NO_CORE = re.compile(rb"Max core file size +0 ")
DUMPS = "for it in /proc/[0-9]*; do grep -qs '[t]rainer' $it/cmdline && grep core $it/limits; done; true"
FOLDERS = ["workspace", "root", "home", "tmp", "etc", "run", "var", "dev/shm"]


@pytest.fixture
def laptop(runpod, tmp_path) -> Iterator[Laptop]:
    runpod.billing.lag = 0.0
    (tmp_path / "rows.jsonl").write_text(rows(8), "utf-8")
    variables = {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_API_KEY": runpod.keys.account}
    variables["SFT_TRACEBACK"] = "1"  # whatever fails tells all it knows
    found = Laptop(tmp_path, {**variables, **CANARIES})
    yield found
    found.close()


@pytest.fixture
def story(runpod, engine, laptop, sft_image) -> Story:
    return Story(runpod, engine, laptop, sft_image)


@pytest.fixture
def secrets(runpod) -> dict[str, bytes]:
    """Each secret by name; that of the run's SSH key comes once it is made."""
    named = {"RUNPOD_API_KEY": runpod.keys.account, **CANARIES}
    return {name: value.encode() for name, value in named.items()}


def shown(data: bytes, secrets: Mapping[str, bytes]) -> set[str]:
    return {name for name, value in secrets.items() if value in data}


def processes(laptop: Laptop) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """Id, arguments, environment and limits of each process that was started from the laptop's folder."""
    mark = f"HOME={laptop.folder}".encode()
    guards = laptop.guards()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = [(folder / name).read_bytes() for name in ("cmdline", "environ", "limits")]
        except OSError:
            continue
        if mark in told[1] or int(folder.name) in guards:
            yield int(folder.name), told[0], told[1], told[2]


def test_no_secret_is_anywhere_but_where_it_is_used(
    story, runpod, engine, laptop, secrets, tmp_path
):
    work = story.train("--model", "bundled:tiny", steps=3000)
    until(lambda: laptop.steps("r1"), seconds=180)
    (key,) = (tmp_path / "state" / "sft-launch" / "keys").iterdir()
    assert key.stat().st_mode & 0o77 == key.parent.stat().st_mode & 0o77 == 0
    secrets["the run's SSH key"] = key.read_bytes().splitlines()[2]

    # On the laptop: in no argument; RunPod's key alone in what the guard was started with.
    guards, seen = laptop.guards(), []
    for pid, words, variables, limits in processes(laptop):
        seen.append(pid)
        assert not shown(words, secrets)
        assert NO_CORE.search(limits)
        if pid in guards:
            assert shown(variables, secrets) == {"RUNPOD_API_KEY"}
    assert set(guards) < set(seen)

    # In the pod: the hub's token in memory, for its owner alone; in no variable and no argument.
    container = engine.client.containers.get(f"runpod-{runpod.pods.only().id}")
    assert not shown(json.dumps(container.attrs).encode(), secrets)
    assert not shown(json.dumps(container.image.history()).encode(), secrets)
    assert not shown(json.dumps(container.image.attrs).encode(), secrets)
    running = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; true"
    assert not shown(container.exec_run(["sh", "-c", running])[1], secrets)
    dumps = container.exec_run(["sh", "-c", DUMPS])[1].splitlines()
    assert len(dumps) >= 3  # supervisor, guard, trainer
    assert all(map(NO_CORE.match, dumps)), dumps
    found = {}
    archive = container.exec_run(["tar", "-C", "/", "-cf", "-", *FOLDERS], stderr=False)[1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for one in files:
            file = files.extractfile(one) if one.isfile() else None
            if file is not None and (named := shown(file.read(), secrets)):
                found[f"/{one.name}"] = (named, oct(one.mode))
    assert found == {str(border.SECRETS / "HF_TOKEN"): ({"HF_TOKEN"}, "0o600")}

    work.interrupt()
    assert not work.running() or work.ended() is not None
    for asked in (["stop", "r1"], ["ps"], ["report", "r1"]):
        done = laptop.launch(*asked)
        assert done.ended() == 0, done.said

    # At home afterwards: in no file, and no longer as a key; RunPod has been told none of them.
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.html", "report.json", "journal.jsonl"} < {path.name for path in kept}
    assert {str(path): shown(path.read_bytes(), secrets) for path in kept} == {
        str(path): set() for path in kept
    }
    for request in runpod.requests:
        assert not shown(json.dumps([request.path, request.body]).encode(), secrets)
