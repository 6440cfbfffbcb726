"""What a failing command prints when the whole traceback is asked for, at an API that repeats the key."""

import http.server
import json
import threading
from typing import ClassVar

import pytest

from launcher.cli import main

CANARY = "CANARY0123456789abcdef"
ROW = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


class Repeats(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = f"bad key: {self.headers.get('Authorization')}"
        body = json.dumps({"message": told, "error": {"message": told, "code": 401}}).encode()
        Api.heard.append(self.headers["Authorization"])
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Api(http.server.ThreadingHTTPServer):
    heard: ClassVar[list[str]] = []


@pytest.fixture
def api():
    server = Api(("127.0.0.1", 0), Repeats)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path, monkeypatch, api):
    for name, value in {
        "SFT_TRACEBACK": "1",
        "HOME": str(tmp_path),
        "RUNPOD_API_KEY": CANARY,
        "RUNPOD_API_BASE_URL": f"http://127.0.0.1:{api.server_port}",
        "HF_TOKEN": f"hf_{CANARY}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(ROW)
    return tmp_path


def left(folder):
    return [path for path in folder.rglob("*") if path.is_file() and CANARY in path.read_text()]


RENT = ("train", "--gpu", "A10G", "--image", "registry.example/x:1", "--data", "rows.jsonl")


@pytest.mark.parametrize(
    "words", [("reap",), (*RENT, "--model", "bundled:tiny", "--recipe", "tiny")], ids=lambda w: w[0]
)
def test_no_traceback_has_the_key_in_it(folder, capsys, words):
    assert main(words) == 22
    said = "".join(capsys.readouterr())
    assert set(Api.heard) == {f"Bearer {CANARY}"}
    assert "Traceback" in said
    assert CANARY not in said
    assert left(folder) == []
