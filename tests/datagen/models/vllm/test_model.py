"""Base and adapter through `vllm serve`, with a stand-in for vLLM that speaks its protocol."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.episode import Message, read_episodes
from datagen.models.device import CARD
from datagen.models.local.model import Generation
from datagen.models.local.token_ids import token_ids
from datagen.models.local.weights import ModelLocation, model_name
from datagen.models.protocol import NoReply
from datagen.models.vllm import choice, server
from datagen.models.vllm.model import engine, read_prompt_format
from datagen.prompts.render import as_reply
from datagen.verbs import evaluate
from trainer.contract.command.errors import ModelUnavailable, NotInstalled

ROOT = Path(__file__).parents[4]
BASE = ROOT / "trainer" / "tiny" / "model"
FAKE = Path(__file__).with_name("fake_vllm.py")
SAID = {"base": "```sql\nSELECT 1\n```", "adapter": "```python\nsubmit(1)\n```"}
WROTE = {**SAID, "adapter": f"<think>\n{as_reply('x')}\n</think>\n{SAID['adapter']}"}
QUESTION = [Message(role="user", content='Largest "depth"?')]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> ModelLocation:
    """An adapter as far as anyone but vLLM looks into it."""
    from transformers import AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("run") / "adapter"
    AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)
    (folder / "adapter_config.json").write_text('{"r": 12}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return ModelLocation(base=str(BASE), adapter=folder)


@pytest.fixture
def vllm(tmp_path, monkeypatch, place):
    """What the stand-in noted, read anew by each call."""
    command = tmp_path / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    command.chmod(0o755)
    notes = tmp_path / "notes"
    notes.touch()
    read = read_prompt_format(place)
    says = {
        name: [*read.tokenizer(text)["input_ids"], min(read.stops)] for name, text in WROTE.items()
    }
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_NOTES", str(notes))
    monkeypatch.setenv("FAKE_SAYS", json.dumps(says))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(server, "POLL_SECONDS", 0.05)
    return lambda: [json.loads(line) for line in notes.read_text().splitlines()]


def answers(model, *conversations):
    async def ask():
        async with model.connected():
            calls = [model.reply(c, session=f"s{n}") for n, c in enumerate(conversations)]
            return await asyncio.gather(*calls)

    return asyncio.run(ask())


def is_gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_base_and_adapter_from_one_server_that_ends_with_the_block(vllm, place, tmp_path):
    log = tmp_path / "evaluation" / "vllm.log"
    with engine(place, Generation(tokens=64), log) as models:
        assert {name: model.name for name, model in models.items()} == {
            "base": place.base,
            "adapter": model_name(place),
        }
        for name, model in models.items():
            (reply, _) = answers(model, QUESTION, QUESTION)
            assert reply.text == SAID[name]
            assert reply.finish_reason == "stop"
    started, *asked = vllm()
    read = read_prompt_format(place)
    prompt = token_ids(read.tokenizer, QUESTION)
    assert [one["asked"]["prompt"] for one in asked] == [prompt] * 4
    assert {one["asked"]["model"] for one in asked} == {"base", "adapter"}
    body = asked[0]["asked"]
    assert (body["temperature"], body["max_tokens"]) == (0.0, 64)
    assert set(body["stop_token_ids"]) == read.stops
    assert len({one["asked"]["seed"] for one in asked}) == 2  # a chance for each session
    argv = started["argv"]
    assert argv[argv.index("--max-lora-rank") + 1] == "16"
    assert "loading weights" in log.read_text()
    assert is_gone(started["pid"])
    assert is_gone(started["worker"])


def test_a_base_alone_is_served_without_adapters(vllm, tmp_path):
    with engine(ModelLocation(base=str(BASE)), Generation(), tmp_path / "log") as models:
        assert [*models] == ["base"]
        assert answers(models["base"], QUESTION)[0].text == SAID["base"]
    assert not any("lora" in word for word in vllm()[0]["argv"])


def test_a_reply_that_is_cut_and_a_question_that_is_too_long(vllm, place, tmp_path):
    with engine(place, Generation(tokens=3), tmp_path / "log") as models:
        (reply,) = answers(models["base"], QUESTION)
        assert (reply.finish_reason, reply.completion_tokens) == ("length", 3)
        endless = [Message(role="user", content="word " * 5000)]
        with pytest.raises(NoReply) as caught:
            answers(models["base"], endless)
        assert caught.value.kind == "refused"


def test_a_server_that_does_not_come_up_says_why(vllm, place, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_MOOD", "broken")
    with (
        pytest.raises(ModelUnavailable) as caught,
        engine(place, Generation(), tmp_path / "log"),
    ):
        pass
    assert "ValueError: no room for the KV cache" in caught.value.faults
    assert str(tmp_path / "log") in caught.value.cause
    assert is_gone(vllm()[0]["worker"])


@pytest.mark.parametrize(
    ("mood", "kind", "says"),
    [
        ("dies", ModelUnavailable, "ended before it answered"),
        ("old", ModelUnavailable, "token ids of its reply"),
        ("full", NoReply, "refused"),
    ],
)
def test_a_server_in_a_mood(vllm, place, tmp_path, monkeypatch, mood, kind, says):
    monkeypatch.setenv("FAKE_MOOD", mood)
    monkeypatch.setattr("datagen.models.vllm.model.RETRIES", 0)
    with engine(place, Generation(), tmp_path / "log") as models, pytest.raises(kind, match=says):
        answers(models["base"], QUESTION)


def test_the_server_ends_with_us_also_when_we_are_killed(vllm, place, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from datagen.models.local.weights import ModelLocation\n"
        "from datagen.models.vllm.server import serving\n"
        "place = ModelLocation(base=sys.argv[1])\n"
        "up = lambda address: bool(Path(sys.argv[3]).read_text())\n"
        "with serving(place, context=64, dtype='auto', log=Path(sys.argv[2]), ready=up):\n"
        "    print('up', flush=True); time.sleep(600)\n"
    )
    words = [sys.executable, "-c", code, str(BASE), str(tmp_path / "log"), os.environ["FAKE_NOTES"]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        started = vllm()[0]
        os.kill(parent.pid, signal.SIGKILL)
    assert is_gone(started["pid"])
    assert is_gone(started["worker"])


def test_which_engine_answers(vllm, place, tmp_path, monkeypatch):
    dora = tmp_path / "dora"
    dora.mkdir()
    (dora / "adapter_config.json").write_text('{"r": 8, "use_dora": true}')
    odd = ModelLocation(base="x", adapter=dora)
    assert not choice.takes_vllm("transformers", place)
    assert choice.takes_vllm("vllm", place)
    assert not choice.takes_vllm("auto", place)  # no card
    monkeypatch.setattr(choice, "find_device", lambda: CARD)
    assert choice.takes_vllm("auto", place)
    assert not choice.takes_vllm("auto", odd)
    with pytest.raises(ModelUnavailable, match="DoRA"):
        choice.takes_vllm("vllm", odd)
    monkeypatch.setenv("PATH", "/nowhere")
    assert not choice.takes_vllm("auto", place)
    with (
        pytest.raises(NotInstalled, match="command vllm is not on PATH"),
        engine(place, Generation(), tmp_path / "log"),
    ):
        pass


def test_the_verb_from_the_command_line_to_the_comparison(
    vllm, run, episodes, tasks, tmp_path, monkeypatch, capsys
):
    """The adapter solves one of the questions, the base none."""
    read = read_prompt_format(ModelLocation(base=str(BASE), adapter=run / "adapter"))
    says = {"base": "I do not know.", "adapter": as_reply(tasks[3].question.code)}
    ids = {
        name: [*read.tokenizer(text)["input_ids"], min(read.stops)] for name, text in says.items()
    }
    monkeypatch.setenv("FAKE_SAYS", json.dumps(ids))
    monkeypatch.setattr("datagen.models.vllm.model.RETRIES", 0)
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--model", str(run), "--episodes", str(episodes), "--engine", "vllm"]
    command += ["--tokens", "400", "--turns", "1", "--json"]

    monkeypatch.setenv("FAKE_MOOD", "dies")
    assert main(command) == ModelUnavailable.exit_code
    assert "vLLM ended before it answered" in capsys.readouterr().err
    assert not (run / "comparison.json").exists()

    monkeypatch.setenv("FAKE_MOOD", "")
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((run / "comparison.json").read_text())
    assert (found["n"], found["base"], found["losses"]) == (13, 0.0, 0)
    assert found["wins"] >= 1
    assert "loading weights" in (run / "evaluation" / "vllm.log").read_text()

    transcripts = {name: read_episodes(run / "evaluation" / f"{name}.jsonl") for name in says}
    for name, answered in transcripts.items():
        assert {e.traces[0].turns[0].reply for e in answered} == {says[name]}
        assert {e.provenance.sampling["engine"] for e in answered} == {"vllm"}
    solved = {e.question.id for e in transcripts["adapter"] if e.verdict.verified}
    assert tasks[3].question.id in solved
    _, second, *asked = vllm()
    for name, answered in transcripts.items():
        prompts = [one["asked"]["prompt"] for one in asked if one["asked"]["model"] == name]
        theirs = [token_ids(read.tokenizer, e.traces[0].opening) for e in answered]
        assert sorted(prompts) == sorted(theirs)
    assert is_gone(second["pid"])
    assert is_gone(second["worker"])


def test_the_verb_offers_these_engines():
    assert Path(evaluate.__file__).read_text().count(repr(choice.ENGINES).replace("'", '"')) == 1
