"""Whatever a file or an answer holds, its reader gives a value or one ``Fault``: never a traceback."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.episode import read_episodes
from datagen.evaluation.saved_results import is_finished, read_result
from datagen.models.paid_api.ledger import read_ledger
from launcher.docker_engine.config import Logins
from launcher.runs import journal, run_folder, status
from launcher.runs.run_state import RunState
from trainer import checkpoints
from trainer.contract import episodes, events, manifest
from trainer.contract.command.errors import Fault
from trainer.contract.job import Job, from_sources
from trainer.contract.rows import read_rows

NASTY = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"v": 1, "x": NaN}',
    b"Infinity",
    b"1e999",
    b"9" * 5000,
    b'{"v": 1, "v": 2}',
    b'"\\ud800"',
    b"\xef\xbb\xbf{}",
    b"\x00" * 64,
    b"null\ntrue\n[]\n{}\n",
    b"\xff\xfe{\x00}\x00",
]
"""What breaks readers: depth, numbers that are none, halves of characters, other encodings."""
EXAMPLES = {
    "row": {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "y"}]},
    "event": {"v": 1, "seq": 0, "time": 1.0, "type": "step", "step": 1, "steps": 2, "loss": 1.0},
    "created": {"what": "created", "stage": "fact", "time": 1.0, "v": 1,
                "facts": {"id": "a", "where": "here"}},
    "episode": {"v": 1, "question": {"id": "q", "text": "?"}, "tables": [], "traces": []},
    "answer": {"id": "g", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
               "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.1}},
    "pod": {"id": "p", "name": "n", "status": "RUNNING", "cost": 1.0, "gpu": {"id": "g", "count": 1},
            "ssh": {"direct": {"host": "h", "port": 22, "username": "root"}},
            "runtime": {"uptime": 3, "gpus": [{"util": 1.0}]}, "env": {"A": "b"}},
    "docker": {"auths": {"q.io": {"auth": "dTpw"}}, "credsStore": "nowhere", "currentContext": "a",
               "credHelpers": {"r.io": "nowhere"}, "HttpHeaders": {"A": "b"}, "proxies": {"default": {}}},
}  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def altered(draw):
    """A valid example in which one place holds something else."""
    found = json.loads(json.dumps(draw(st.sampled_from(list(EXAMPLES.values())))))
    place = found
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not inner or not isinstance(inner, dict | list) or draw(st.booleans()):
            break
        place = inner
    place[key] = draw(values)
    return json.dumps(found).encode()


lines = (
    st.binary(max_size=60)
    | altered()
    | st.sampled_from(NASTY[2:])
    | values.map(lambda value: json.dumps(value).encode())
)
blocks = st.lists(lines, max_size=3).map(lambda found: b"".join(line + b"\n" for line in found))


def journals(path: Path) -> None:
    RunState(journal.read(path)).spent(2.0)


def ps(path: Path) -> None:
    (path.parent / "journal.jsonl").write_bytes(path.read_bytes())
    status.ps_lines([status.seen(run_folder.Run("a", path.parent), now=2.0)])


def docker_logins(path: Path) -> None:
    path.with_name("config.json").write_bytes(path.read_bytes())
    logins = Logins.read(lambda name: str(path.parent) if name == "DOCKER_CONFIG" else "", path)
    logins.login("q.io")
    logins.get_all_credentials()


READERS: dict[str, Callable[[Path], object]] = {
    "rows": read_rows,
    "job": Job.from_json,
    "job, TOML": lambda path: from_sources(recipe=str(path)),
    "events": events.read,
    "newest step": status.last_step,
    "journal": journals,
    "ps": ps,
    "manifest": manifest.load,
    "result folder": lambda path: manifest.verify(path.parent),
    "tables of episodes": episodes.tables_of,
    "questions of episodes": episodes.questions,
    "episodes": read_episodes,
    "evaluated episodes": read_result,
    "a comparison": is_finished,
    "ledger": read_ledger,
    "Docker's configuration": docker_logins,
    "checkpoints": lambda path: checkpoints.whole(path.parent),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(block=blocks)
@settings(max_examples=30)
def test_a_file_is_read_or_is_one_fault(tmp_path_factory, reader, block):
    path = tmp_path_factory.mktemp("f") / "events.jsonl"
    for name in ("events.jsonl", "manifest.json"):
        path.with_name(name).write_bytes(block)
    with suppress(Fault):
        reader(path)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("block", NASTY, ids=range(len(NASTY)))
def test_what_breaks_readers_is_one_fault(tmp_path, reader, block):
    path = tmp_path / "events.jsonl"
    path.write_bytes(block + b"\n")
    with suppress(Fault):
        reader(path)
