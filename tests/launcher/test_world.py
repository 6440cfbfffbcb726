import json
import signal
import sys
from pathlib import Path

import pytest

from launcher.world import Interrupts, World
from trainer.contract.command.errors import BadData, Fault, NotFound


def test_our_packages_are_not_shadowed_by_the_users_folder(tmp_path, monkeypatch, capfd):
    (tmp_path / "launcher.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    world = World()
    world.finish(world.python("launcher", "--help"))
    assert capfd.readouterr().out.startswith("usage: launch")


@pytest.mark.parametrize(("code", "kind"), [(3, BadData), (11, NotFound), (1, Fault), (77, Fault)])
def test_a_step_that_fails_raises_the_fault_of_its_exit_code(code, kind, capfd):
    script = f"import sys; print('seen'); sys.exit({code})"
    with pytest.raises(Fault, match=f"exit code {code}") as caught:
        World().finish([sys.executable, "-c", script], quiet=True)
    assert type(caught.value) is kind
    assert capfd.readouterr().out == ""


@pytest.fixture
def _sigint_is_not_ignored():
    # It is for a shell's background jobs, and a test run may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_sigint_is_not_ignored")
def test_interrupts_are_counted_inside_and_raised_outside():
    seen = Interrupts()
    with World().interrupts(seen):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert seen.count == 2
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_signalling_what_is_gone_is_no_error():
    World().signal(2**22 - 3, signal.SIGTERM)


@pytest.mark.parametrize(
    ("value", "folder"),
    [("/somewhere", "/somewhere/sft-launch"), ("", "{home}/.local/state/sft-launch")],
)
def test_the_state_folder_follows_xdg(value, folder, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", value)
    assert str(World().state_folder()) == folder.format(home=Path.home())


def test_an_answer_is_what_a_command_prints_and_none_where_it_fails():
    world = World()
    assert world.answer(["echo", "yes"]) == "yes\n"
    assert world.answer(["false"]) is None
    assert world.answer(["no-such-command-anywhere"]) is None


def test_given_variables_are_all_but_what_it_takes_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    command = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    log = tmp_path / "log"
    with log.open("wb") as lock:
        child = World().start(
            command, log=log, lock=lock.fileno(), variables={"RUNPOD_API_KEY": "k"}
        )
    assert child.process.wait(timeout=30) == 0
    found = json.loads(log.read_text())
    assert (found["RUNPOD_API_KEY"], found["https_proxy"]) == ("k", "http://proxy:1")
    assert "PATH" in found
    assert "HF_TOKEN" not in found
