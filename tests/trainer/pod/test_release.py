import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from trainer.pod.release import PAUSES, Answer, Api, deadline_action, main, stop_or_delete

KEY = "pod-scoped-key-9f3"


@pytest.fixture
def api():
    """A RunPod that answers what ``answers`` says, 200 otherwise; ``asked`` has the requests."""

    class Server(ThreadingHTTPServer):
        asked: ClassVar[list[Any]] = []
        answers: ClassVar[list[int]] = []
        url = ""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((self.path, self.headers["Authorization"], body))
            status = server.answers.pop(0) if server.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{server.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def env_of(url):
    return {"RUNPOD_API_KEY": KEY, "RUNPOD_POD_ID": "p1", "RUNPOD_API_BASE_URL": url}


def test_the_request_is_the_one_that_the_api_knows(api):
    answer = Api(env_of(api.url + "/")).act("stop")
    assert answer.done
    assert api.asked == [("/v2/pods/p1/action", f"Bearer {KEY}", {"action": "stop"})]


@pytest.mark.parametrize(
    ("status", "may", "refused"),
    [
        (409, True, False),
        (401, False, True),
        (403, False, True),
        (404, False, False),
        (429, False, False),
        (500, False, False),
        (302, False, False),
    ],
)
def test_the_probe_asks_for_what_cannot_be_done(api, status, may, refused):
    api.answers = [status] * 4
    answer = Api(env_of(api.url)).probe()
    assert (answer.may, answer.refused, answer.only) == (may, refused, None)
    asked = [body for _, _, body in api.asked]
    assert asked[0] == {"action": "start"}
    assert len(asked) == (4 if refused else 1)


def invalid(action):
    """RunPod's contract: PodActionRequest has additionalProperties false, so this is never carried out."""
    return {"action": action, "probe": True}


@pytest.mark.parametrize(
    ("answers", "only", "may"),
    [
        ([403, 403, 422], "stop", True),
        ([401, 401, 400], "stop", True),
        ([403, 403, 403, 422], "terminate", True),
        ([403, 403, 403, 204], "terminate", True),  # carried out after all
        ([403, 403, 500], "stop", False),
        ([403, 403, 403, 429], "terminate", False),
        ([403, 422], None, False),  # the body is looked at before the rights: nothing is proved
    ],
)
def test_a_key_that_may_not_start_is_asked_for_stop_and_then_terminate(api, answers, only, may):
    api.answers = list(answers)
    answer = Api(env_of(api.url)).probe()
    assert (answer.only, answer.may) == (only, may)
    order = [{"action": "start"}, invalid("start"), invalid("stop"), invalid("terminate")]
    assert [body for _, _, body in api.asked] == order[: len(answers)]


def test_what_goes_wrong_is_an_answer_without_the_key(api):
    api.shutdown()
    api.server_close()
    answer = Api(env_of(api.url)).act("stop")
    assert (answer.status, answer.done, answer.refused) == (None, False, False)
    assert "URLError" in answer.text
    broken = Api(env_of("http://[nonsense") | {"RUNPOD_API_KEY": f"{KEY}\n"}).act("stop")
    assert not broken.done
    assert KEY not in broken.text


def test_without_a_key_it_may_not():
    answer = Api({"RUNPOD_POD_ID": "p1"}).probe()
    assert answer.refused
    assert "RUNPOD_API_KEY" in answer.text


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, "RUNPOD_API_KEY and RUNPOD_POD_ID not set"),
        ({"RUNPOD_API_KEY": KEY}, "RUNPOD_POD_ID not set"),
        ({"RUNPOD_API_KEY": "", "RUNPOD_POD_ID": "p1"}, "RUNPOD_API_KEY not set"),
    ],
)
def test_what_a_pod_was_not_told_is_a_refusal(env, missing):
    assert Api(env).act("stop") == Answer(401, missing)


@pytest.mark.parametrize(
    ("status", "refused", "may", "done"),
    [
        (None, False, False, False),
        (199, False, False, False),
        (200, False, True, True),
        (204, False, True, True),
        (299, False, True, True),
        (300, False, False, False),
        (400, False, False, False),
        (401, True, False, False),
        (403, True, False, False),
        (404, False, False, True),
        (409, False, True, False),
        (500, False, False, False),
    ],
)
def test_what_an_answer_means(status, refused, may, done):
    answer = Answer(status, "")
    assert (answer.refused, answer.may, answer.done) == (refused, may, done)


class Gone(Exception):
    pass


def go(answers, action="stop", tmp_path=None, *, at_deadline=False):
    """Let go with the API's ``answers``; return actions asked, naps, what was said, and if accepted."""
    asked, naps, accepted = [], [], []
    said: list[str] = []
    left = list(answers)

    def act(action):
        asked.append(action)
        return left.pop(0)

    def sleep(seconds):
        naps.append(seconds)
        if not left:
            raise Gone

    with pytest.raises(Gone):
        stop_or_delete(
            action,
            act=act,
            mark=tmp_path / "released",
            say=said.append,
            sleep=sleep,
            at_deadline=at_deadline,
            accepted=lambda: accepted.append(True),
        )
    return asked, naps, said, bool(accepted)


OK, REFUSED, BUSY = Answer(200, "accepted"), Answer(403, "HTTP 403"), Answer(500, "HTTP 500")
LOST, NOT_NOW = Answer(None, "timed out"), Answer(409, "HTTP 409")


def test_once_accepted_it_waits_to_be_gone(tmp_path):
    asked, _, said, accepted = go([OK], tmp_path=tmp_path)
    assert (asked, said, accepted) == (["stop"], [], True)
    assert (tmp_path / "released").exists()


def test_one_that_was_accepted_and_did_not_happen_is_asked_again(tmp_path):
    asked, naps, said, _ = go([OK, OK], tmp_path=tmp_path)
    assert asked == ["stop", "stop"]
    assert naps == [120.0, 120.0]
    assert said == ["stop was accepted 120 s ago, and this pod still runs"]


def test_trouble_is_asked_again_with_growing_pauses(tmp_path):
    _, naps, _, accepted = go([BUSY, LOST, NOT_NOW, BUSY, BUSY, OK], tmp_path=tmp_path)
    assert naps[:5] == [*PAUSES, 300.0, 300.0]
    assert accepted


@pytest.mark.parametrize(
    ("answer", "marked"), [(BUSY, False), (REFUSED, False), (NOT_NOW, True), (LOST, True)]
)
def test_the_mark_goes_only_when_the_pod_surely_stays(tmp_path, answer, marked):
    go([answer], tmp_path=tmp_path)
    assert (tmp_path / "released").exists() is marked


def test_a_mark_that_cannot_be_written_keeps_no_pod_alive(tmp_path):
    assert go([OK], tmp_path=tmp_path / "not there")[3]
    assert go([BUSY, OK], tmp_path=tmp_path / "not there")[3]


def test_without_a_mark_nothing_is_left_behind(tmp_path):
    def act(action):
        return BUSY

    def sleep(seconds):
        raise Gone

    said: list[str] = []
    with pytest.raises(Gone):
        stop_or_delete("stop", act=act, mark=None, say=said.append, sleep=sleep, at_deadline=False)
    assert said == ["HTTP 500: trying again in 5 s"]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_delete_becomes_a_stop(tmp_path):
    asked, naps, said, accepted = go([REFUSED, OK], "terminate", tmp_path=tmp_path)
    assert asked == ["terminate", "stop"]
    assert said == ["may not delete itself (HTTP 403): trying to stop"]
    assert (tmp_path / "released").read_text() == "stop"
    assert len(naps) == 1
    assert accepted


def test_refused_altogether_it_keeps_still_and_says_so(tmp_path):
    asked, naps, said, accepted = go([REFUSED] * 5, "terminate", tmp_path=tmp_path)
    assert asked == ["terminate", "stop", "stop", "stop", "stop"]
    assert naps == [300.0] * 4
    assert "STILL BILLED" in said[1]
    assert not accepted
    assert not (tmp_path / "released").exists()


def test_at_the_deadline_a_stop_that_is_refused_twice_becomes_a_delete(tmp_path):
    asked, naps, said, accepted = go([REFUSED, REFUSED, OK], tmp_path=tmp_path, at_deadline=True)
    assert asked == ["stop", "stop", "terminate"]
    assert naps == [5.0, 120.0]
    assert said == [
        "HTTP 403: trying again in 5 s",
        "may not stop itself (HTTP 403): deleting itself, what is on it is lost",
    ]
    assert accepted


@pytest.mark.parametrize(
    "answers", [[REFUSED, OK], [REFUSED, BUSY, REFUSED, OK], [BUSY, REFUSED, LOST, NOT_NOW, OK]]
)
def test_a_pod_that_may_stop_is_never_deleted(tmp_path, answers):
    asked, *_ = go(answers, tmp_path=tmp_path, at_deadline=True)
    assert set(asked) == {"stop"}


def test_before_the_deadline_a_refused_stop_deletes_nothing(tmp_path):
    asked, naps, said, _ = go([REFUSED] * 3, tmp_path=tmp_path)
    assert (asked, naps) == (["stop"] * 3, [300.0] * 3)
    assert "STILL BILLED" in said[0]


def test_a_key_that_may_do_neither_is_asked_for_stop_again_and_again(tmp_path):
    asked, naps, said, _ = go([REFUSED] * 6, tmp_path=tmp_path, at_deadline=True)
    assert asked == ["stop", "stop", "terminate", "stop", "stop", "stop"]
    assert naps == [5.0, 300.0, 300.0, 300.0]
    assert "STILL BILLED" in said[-1]


def test_the_mark_is_there_before_the_pod_can_be_gone(tmp_path):
    seen = []

    def act(action):
        seen.append((tmp_path / "released").exists())
        raise Gone

    with pytest.raises(Gone):
        stop_or_delete(
            "stop",
            act=act,
            mark=tmp_path / "released",
            say=print,
            sleep=print,
            at_deadline=False,
        )
    assert seen == [True]


@pytest.mark.parametrize(
    ("manifest", "on_deadline", "action"),
    [
        (None, "stop", "stop"),
        (None, "delete", "terminate"),
        ('{"complete": false}', "delete", "terminate"),
        ('{"complete": true}', "delete", "stop"),
        ('{"complete": true}', "stop", "stop"),
        ("[1", "delete", "terminate"),
        ("[1]", "delete", "terminate"),
    ],
)
def test_a_whole_result_is_never_deleted(tmp_path, manifest, on_deadline, action):
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert deadline_action(tmp_path, on_deadline) == action


def test_the_guard_needs_the_standard_library_alone():
    program = (
        "import sys, trainer.pod.release; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pydantic" not in done.stdout


@pytest.mark.parametrize("given", [["--at", "1"], ["--root", "."]])
def test_the_guard_wants_its_instant_and_its_folder(given, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["release", *given])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "required" in capsys.readouterr().err


def test_the_guard_acts_on_its_own_at_its_instant(api, tmp_path):
    at = time.time() + 0.6
    guard = subprocess.Popen(
        [
            *(sys.executable, "-m", "trainer.pod.release", "--at", str(at)),
            *("--root", str(tmp_path), "--on-deadline", "delete"),
        ],
        env=os.environ | env_of(api.url),
        stdout=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + 10
        while not api.asked and time.monotonic() < until:
            time.sleep(0.05)
        assert time.time() >= at
        assert [body for _, _, body in api.asked] == [{"action": "terminate"}]
        assert guard.poll() is None
    finally:
        guard.kill()
        output, _ = guard.communicate()
    assert KEY not in output.decode()
