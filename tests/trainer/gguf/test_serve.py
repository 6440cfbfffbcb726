"""The server, as a user has it: the lines that it prints are run, OpenAI's client talks to it, Ctrl-C ends it."""

import json
import os
import shlex
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.trainer.gguf.test_export import CHAT, answer, greedy
from trainer.contract.command.errors import ModelUnavailable
from trainer.gguf import export
from trainer.gguf.engine import Engine

__all__ = ["greedy"]


@pytest.fixture
def server(run):
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", "serve", str(run), "--port", "0", "--context", "256"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def launch(*arguments):
    command = [sys.executable, "-m", "launcher", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_base_and_adapter_are_reachable(server, run, greedy):
    import openai

    lines = list(iter(server.stdout.readline, "stop     Ctrl-C\n"))
    with Engine(export.files(run / "gguf", "lora")[0], context=256) as engine:
        base = answer(engine)
    assert base != greedy
    curl = next(line.removeprefix("try      ") for line in lines if line.startswith("try"))
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert '"role":"assistant"' in done.stdout
    address = next(line.split()[1] for line in lines if line.startswith("serving"))
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
        assert {model.id for model in client.models.list()} == {"adapter", "base"}
        create: Any = client.chat.completions.create
        for name, wanted in (("base", base), ("adapter", greedy)):
            asked = {"model": name, "messages": CHAT, "max_tokens": 20, "temperature": 0}
            whole = create(**asked)
            assert whole.choices[0].message.content == wanted
            with create(**asked, stream=True) as pieces:
                text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
            assert text == wanted
        with pytest.raises(openai.NotFoundError, match="the models are adapter, base"):
            create(model="gpt-4", messages=CHAT)
    chat = next(line.removeprefix("chat     launch ") for line in lines if line.startswith("chat"))
    system, user = (message["content"] for message in CHAT)
    words = [*shlex.split(chat), "--system", system, "--tokens", "20", "--json", "-p"]
    done = launch(*words, user)
    answers = json.loads(done.stdout)
    assert {name: answers[name]["text"] for name in ("base", "adapter")} == {
        "base": base, "adapter": greedy
    }  # fmt: skip
    # The address alone will do.
    done = launch(*(word.removesuffix("/v1") for word in words), "word " * 300)
    assert done.returncode == 2
    assert "the context is full" in done.stderr
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    done = launch(*words, user)
    assert done.returncode == ModelUnavailable.exit_code
    assert f"launch serve {run}" in done.stderr
    assert server.stdout.read() == "stopped\n"
