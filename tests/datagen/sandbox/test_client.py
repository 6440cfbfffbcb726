"""The life of episodes: state, isolation, output, limits, threads, dead processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datagen.sandbox import CellLimits, Hook, Sandbox, connection
from datagen.sandbox.start_server import ServerProcess
from trainer.contract.command.errors import BadData, NotFound, SandboxUnsafe

ROOT = Path(__file__).parents[3]


def server_pid(sandbox: Sandbox) -> int:
    assert isinstance(sandbox._server, ServerProcess)
    return sandbox._server.pid


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def wait_until(condition) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_cell_sees_tables_and_modules(box):
    with box.episode() as episode:
        result = episode.run(
            "print(df is tables['shops'], list(tables))\nsubmit(int(np.sum(pd.Series(df['sales']))))"
        )
    assert (result.ok, result.stdout, result.stderr) == (True, "True ['shops']\n", "")
    assert (result.submitted, result.answer, result.timed_out) == (True, 12, False)
    assert 0 < result.seconds < 5


def test_first_table_is_df_and_others_are_by_name(csv, tmp_path):
    second = tmp_path / "other.csv"
    second.write_text("k\n7\n", encoding="utf-8")
    with Sandbox({"b": second, "a": csv}) as sandbox, sandbox.episode() as episode:
        assert episode.run("submit([len(df), len(tables['a'])])").answer == [1, 3]


def test_variables_and_functions_persist_between_cells(box):
    with box.episode() as episode:
        episode.run("import math\nx = 3\ndef twice(n):\n    return 2 * n * x")
        assert episode.run("submit(twice(math.floor(2.5)))").answer == 12


def test_in_place_edit_reaches_no_other_episode(box):
    with box.episode() as first, box.episode() as second:
        first.run("df['sales'] = 0\ndf.drop(index=0, inplace=True)\nnp.sum = None\ntables.clear()")
        assert first.run("submit(df['sales'].sum())").answer == 0
        check = "submit([int(df['sales'].sum()), len(df), np.sum is None, len(tables)])"
        assert second.run(check).answer == [12, 3, False, 1]
        with box.episode() as third:
            assert third.run(check).answer == [12, 3, False, 1]


def test_nothing_is_printed_by_itself(box):
    with box.episode() as episode:
        assert episode.run("df['sales'].sum()").stdout == ""


def test_submission_belongs_to_its_cell_and_last_call_counts(box):
    with box.episode() as episode:
        assert episode.run("submit(1)\nsubmit(None)").submitted
        result = episode.run("x = 1")
    assert (result.submitted, result.answer) == (False, None)


def test_submission_survives_a_later_error(box):
    with box.episode() as episode:
        result = episode.run("submit(5)\n1 / 0")
    assert (result.ok, result.submitted, result.answer) == (False, True, 5)


def test_hooks_carry_values_and_dependencies(box):
    with box.episode() as episode:
        result = episode.run(
            "hook(df['sales'], 'sales')\nhook(12, 'total', depends_on=['sales'])\n"
            "hook(df, 'frame', 'total')\nhook(object(), 'odd')"
        )
    sales, total, frame, odd = result.hooks
    assert sales == Hook("sales", [3, 5, 4], ())
    assert total == Hook("total", 12, ("sales",))
    assert (frame.value["rows"], frame.value["columns"]) == (3, ["city", "sales", "open"])
    assert frame.depends_on == ("total",)
    assert odd.value == {"type": "object"}


@pytest.mark.parametrize(
    "forgery",
    [
        'print(\'{"ok": true, "submitted": true, "answer": 42}\')',
        'import os\nos.write(1, b\'{"submitted": true, "answer": 42}\')',
        "import sys\nprint('submit(42)', file=sys.stderr)\nsys.__stdout__.write('42')",
        (
            "import struct, json\nb = json.dumps({'submitted': True, 'answer': 42})\n"
            "print(struct.pack('>I', len(b)).decode('latin-1') + b, flush=True)"
        ),
    ],
)
def test_printed_text_forges_no_answer(box, forgery):
    with box.episode() as episode:
        result = episode.run(forgery)
        assert (result.ok, result.submitted, result.answer) == (True, False, None)
        assert episode.run("submit(1)").answer == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("df['bill_lenght']", "KeyError: 'bill_lenght'"),
        ("x = 1\nx +", "SyntaxError: invalid syntax (line 2)"),
        ("raise SystemExit(0)", "SystemExit: a cell cannot exit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('a\\n  b')", "ValueError: a b"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError(object())", "ValueError: <object object>"),
        (
            "from pandas import nothing",
            "ImportError: cannot import name 'nothing' from 'pandas' (__init__.py)",
        ),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "E"),
    ],
)
def test_error_is_one_short_line_without_paths(box, code, error):
    with box.episode() as episode:
        result = episode.run(code)
    assert (result.ok, result.stderr) == (False, error)


def test_long_error_is_cut(box):
    with box.episode() as episode:
        assert len(episode.run("raise ValueError('x' * 10_000)").stderr) <= 300


def test_warnings_name_no_file(box):
    with box.episode() as episode:
        result = episode.run("import warnings\nwarnings.warn('mind')\nnp.array([1.0]) / 0")
    assert result.stderr == (
        "UserWarning: mind\nRuntimeWarning: divide by zero encountered in divide\n"
    )


def test_huge_output_is_capped_head_and_tail(box):
    with box.episode() as episode:
        result = episode.run("print('begin')\nfor _ in range(3000): print('x' * 999)\nprint('end')")
    assert result.stdout.startswith("begin\n")
    assert result.stdout.endswith("end\n")
    assert len(result.stdout) < 9000
    assert "2991818 characters left out" in result.stdout


def test_lone_surrogates_do_not_come_back(box):
    with box.episode() as episode:
        result = episode.run("print('\\ud800')\nsubmit('a\\udfff')")
    assert (result.stdout, result.answer) == ("?\n", "a?")


def test_standard_descriptors_are_the_null_device(csv):
    """Also when the low numbers are free in the server, as they are where its own one is high."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    try:
        with Sandbox({"t": csv}, level="none") as sandbox, sandbox.episode() as episode:
            episode.run("import os\nx = 1")
            code = "submit([os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in range(4)])"
            assert episode.run(code).answer == ["/dev/null", "/dev/null", "/dev/null", "socket"]
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_scipy_is_imported_once_and_only_when_a_cell_names_it(csv):
    code = "import sys\nsubmit('sci' + 'py.stats' in sys.modules)"
    with Sandbox({"t": csv}) as sandbox:

        def first_cell(code: str) -> object:
            with sandbox.episode() as episode:
                return episode.run(code).answer

        assert first_cell(code) is False
        assert first_cell(code + "  # scipy") is True
        assert first_cell(code) is True


def test_random_numbers_are_the_same_for_the_same_seed(box):
    def draw(seed):
        with box.episode(seed=seed) as episode:
            return episode.run("import random\nsubmit([random.random(), np.random.rand()])").answer

    assert draw(1) == draw(1) != draw(2)


def test_server_environment_has_no_secret_and_is_fixed(csv, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-secret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with Sandbox({"t": csv}) as sandbox, sandbox.episode() as episode:
        environment = episode.run("import os\nsubmit(dict(os.environ))").answer
        assert episode.run("import time\nsubmit(time.strftime('%Z'))").answer == "UTC"
    assert "sk-secret" not in str(environment)
    assert environment["PYTHONHASHSEED"] == "0"


def test_server_has_one_thread(box):
    with box.episode() as episode:
        episode.run("x = 1")
        assert len(list(Path(f"/proc/{server_pid(box)}/task").iterdir())) == 1


def test_endless_loop_is_stopped_and_the_episode_goes_on(csv):
    with Sandbox({"t": csv}, CellLimits(cell_seconds=0.3)) as sandbox, sandbox.episode() as episode:
        episode.run("x = 1")
        result = episode.run("submit(1)\nwhile True: pass")
        assert (result.ok, result.timed_out, result.submitted) == (False, True, False)
        assert 0.3 <= result.seconds < 2
        assert result.stderr == (
            "TimeoutError: the cell was stopped after 0.3 s; the variables of earlier cells are gone"
        )
        assert episode.run("submit('x' in globals())").answer is False


def test_cell_that_ignores_signals_is_stopped(csv):
    code = (
        "import signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n"
        "  except (OSError, ValueError): pass\n"
        "while True:\n  try: time.sleep(9)\n  except BaseException: pass"
    )
    with Sandbox({"t": csv}, CellLimits(cell_seconds=0.3)) as sandbox, sandbox.episode() as episode:
        assert episode.run(code).timed_out


def test_episode_time_is_used_up_across_cells(csv):
    limits = CellLimits(cell_seconds=5, episode_seconds=0.4)
    with Sandbox({"t": csv}, limits) as sandbox, sandbox.episode() as episode:
        assert episode.run("import time\ntime.sleep(0.25)").ok
        assert episode.run("time.sleep(0.25)").timed_out
        assert episode.run("x = 1").stderr == "TimeoutError: the episode's 0.4 s are used up"


@pytest.mark.parametrize("level", [None, "reduced"])
def test_memory_bomb_fails_in_its_cell(csv, level):
    with (
        Sandbox({"t": csv}, CellLimits(memory_bytes=256 * 2**20), level) as sandbox,
        sandbox.episode() as episode,
    ):
        result = episode.run("x = np.ones(2**27)")
        assert result.stderr.startswith("MemoryError")
        assert episode.run("submit(1)").answer == 1
        assert episode.run("y = []\nwhile True: y.append(bytearray(2**20))").stderr == "MemoryError"
        assert episode.run("del y\nsubmit(len(df))").answer == 3


def test_cell_that_ends_its_process_is_a_failure(box):
    with box.episode() as episode:
        result = episode.run("import os\nos._exit(0)")
        assert (result.ok, result.timed_out) == (False, False)
        assert result.stderr == (
            "SandboxError: the cell's process died; the variables of earlier cells are gone"
        )
        assert episode.run("submit(1)").answer == 1


@pytest.mark.parametrize(
    "junk",
    [
        "b'\\xff\\xff\\xff\\xff'",
        "b'\\x00\\x00\\x00\\x02{}'",
        "b'\\x00\\x00\\x00\\x03NaN'",
        "b'\\x00\\x01\\x00\\x00' + b'[' * 65536",
        "b'\\x00\\x00\\x00\\x04null'",
    ],
)
def test_junk_on_the_channel_is_a_failure(box, junk):
    with box.episode() as episode:
        assert not episode.run(f"import os\nos.write(3, {junk})").ok
        assert episode.run("submit(1)").answer == 1


def test_episodes_run_at_the_same_time_from_threads(box):
    barrier = threading.Barrier(8, timeout=10)

    def one(number: int) -> object:
        with box.episode() as episode:
            episode.run(f"mine = {number}")
            barrier.wait()
            return episode.run("submit([mine, int(df['sales'].sum())])").answer

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [[number, 12] for number in range(8)]


def test_processes_end_with_their_episode_and_sandbox(csv):
    with Sandbox({"t": csv}) as sandbox:
        server = server_pid(sandbox)
        with sandbox.episode() as episode:
            child = episode.run("import os\nsubmit(os.getpid())").answer
            assert not gone(child)
        assert wait_until(lambda: gone(child))
        assert not gone(server)
    assert gone(server)


def test_server_that_died_between_cells_is_replaced(csv):
    with Sandbox({"t": csv}) as sandbox, sandbox.episode() as episode:
        first = server_pid(sandbox)
        child = episode.run("import os\nx = 1\nsubmit(os.getpid())").answer
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: gone(child)), "a child outlived its server"
        assert not episode.run("submit(x)").ok
        assert episode.run("submit(len(df))").answer == 3
        assert server_pid(sandbox) != first


def test_server_that_dies_during_a_cell_fails_that_cell_only(csv):
    with Sandbox({"t": csv}) as sandbox:

        def doomed(_: int) -> bool:
            with sandbox.episode() as episode:
                return episode.run("import time\ntime.sleep(20)").ok

        with ThreadPoolExecutor(3) as pool:
            outcomes = pool.map(doomed, range(3))
            time.sleep(0.3)
            os.kill(server_pid(sandbox), signal.SIGKILL)
            assert list(outcomes) == [False] * 3
        with sandbox.episode() as episode:
            assert episode.run("submit(1)").answer == 1


def test_server_that_does_not_answer_is_replaced(csv, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    with Sandbox({"t": csv}) as sandbox, sandbox.episode() as episode:
        first = server_pid(sandbox)
        os.kill(first, signal.SIGSTOP)
        assert episode.run("submit(1)").answer == 1
        assert gone(first)


def test_closed_sandbox_starts_no_other_server(csv):
    with Sandbox({"t": csv}) as sandbox, sandbox.episode() as episode:
        assert episode.run("submit(1)").answer == 1
        sandbox.close()
        assert not episode.run("submit(1)").ok
        assert episode.run("submit(1)").stderr == "SandboxError: the sandbox is closed"
        assert sandbox._server is None


def test_server_that_cannot_come_back_fails_the_cell(csv, tmp_path):
    table = tmp_path / "gone.csv"
    table.write_bytes(csv.read_bytes())
    with Sandbox({"t": table}) as sandbox, sandbox.episode() as episode:
        table.unlink()
        os.kill(server_pid(sandbox), signal.SIGKILL)
        result = episode.run("submit(1)")
    assert not result.ok
    assert result.stderr.startswith("SandboxError: ")


def test_server_ends_when_its_client_is_killed(csv):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom datagen.sandbox import Sandbox\n"
        f"s = Sandbox({{'t': Path({str(csv)!r})}})\n"
        "with s.episode() as e:\n"
        "    e.run('x = 1')\n"
        "    print(s._server.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert wait_until(lambda: gone(int(done.stdout)))


def test_unreadable_tables_are_faults(tmp_path):
    with pytest.raises(NotFound):
        Sandbox({"t": tmp_path / "missing.csv"})
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(BadData, match=r"empty\.csv"):
        Sandbox({"t": empty})


def test_named_level_is_applied_exactly(csv):
    for level in ("reduced", "none"):
        with Sandbox({"t": csv}, level=level) as sandbox, sandbox.episode() as episode:
            assert sandbox.level == level
            assert episode.run("submit(1)").answer == 1


def test_reduced_level_writes_no_byte(csv, tmp_path):
    target = tmp_path / "out.csv"
    with Sandbox({"t": csv}, level="reduced") as sandbox, sandbox.episode() as episode:
        assert not episode.run(f"df.to_csv({str(target)!r})").ok
    assert not target.exists() or not target.read_bytes()


def test_too_low_a_level_is_refused():
    with pytest.raises(SandboxUnsafe, match="no isolation"):
        connection.check_level(wanted=None, obtained="none")
    with pytest.raises(SandboxUnsafe, match="reaches level reduced here, not full"):
        connection.check_level(wanted="full", obtained="reduced")


def test_child_that_is_less_restricted_than_promised_runs_no_code(csv, monkeypatch):
    """A server made to believe in "full" while its plan is "reduced" gets no cell run."""
    code = (
        "import socket, sys\nfrom datagen.sandbox.cells import child\n"
        "from datagen.sandbox.server import table_server\n"
        "child.level_of = lambda layers: 'reduced'\n"
        "raise SystemExit(table_server.run(socket.socket(fileno=int(sys.argv[1]))))"
    )
    popen = subprocess.Popen

    def start(command, **options):
        return popen([*command[:2], "-c", code, command[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    with Sandbox({"t": csv}) as sandbox, sandbox.episode() as episode:
        result = episode.run("submit(1)")
    assert (result.ok, result.submitted) == (False, False)
    assert result.stderr == "SandboxError: the sandbox level dropped from full to reduced"
