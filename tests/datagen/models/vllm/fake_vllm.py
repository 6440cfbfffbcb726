"""Stands where `vllm` would: its command line, key, models and completions, as vLLM 0.32 has them.

It answers the token ids of $FAKE_SAYS (JSON: model → text) and a stop token, notes what it was asked in
$FAKE_NOTES, and has a worker, as vLLM does, that only its process group ends. $FAKE_MOOD: `broken` ends
before it is ready, `dies` at the first question, `old` tells no token ids, `full` refuses.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOOD = os.environ.get("FAKE_MOOD", "")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    serve = parser.add_subparsers(required=True).add_parser("serve", allow_abbrev=False)
    serve.add_argument("model")
    serve.add_argument("--host", required=True)
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--served-model-name", required=True)
    serve.add_argument("--dtype", choices=["auto", "bfloat16", "float32"])
    serve.add_argument("--max-model-len", type=int)
    serve.add_argument("--generation-config", choices=["vllm", "auto"])
    serve.add_argument("--revision")
    serve.add_argument("--enable-lora", action="store_true")
    serve.add_argument("--max-lora-rank", type=int, choices=[1, 8, 16, 32, 64, 128, 256, 320, 512])
    serve.add_argument("--lora-modules", nargs="+", default=[])
    return parser.parse_args()


def note(**facts: object) -> None:
    with Path(os.environ["FAKE_NOTES"]).open("a") as file:
        file.write(json.dumps(facts) + "\n")


class Handler(BaseHTTPRequestHandler):
    options: argparse.Namespace

    def do_GET(self) -> None:
        if self.allowed():
            self.tell(200, {"object": "list", "data": [{"id": x} for x in self.models()]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        if MOOD == "dies":
            os._exit(3)
        if MOOD == "full" or body["model"] not in self.models():
            self.tell(400, {"error": {"message": "no", "type": "BadRequestError", "code": 400}})
            return
        assert all(isinstance(x, int) for x in body["prompt"])
        note(asked=body)
        ids = json.loads(os.environ["FAKE_SAYS"])[body["model"]][: body["max_tokens"]]
        ended = bool(ids) and ids[-1] in body["stop_token_ids"]
        choice = {
            "index": 0, "text": "?", "logprobs": None, "stop_reason": None,
            "finish_reason": "stop" if ended else "length",
        }  # fmt: skip
        if body["return_token_ids"] and MOOD != "old":
            choice["token_ids"] = ids
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}
        self.tell(
            200,
            {
                "id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"],
                "choices": [choice], "usage": usage | {"total_tokens": sum(usage.values())},
            },
        )  # fmt: skip

    def models(self) -> list[str]:
        adapters = [x.partition("=")[0] for x in self.options.lora_modules]
        return [self.options.served_model_name, *adapters]

    def allowed(self) -> bool:
        right = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}"
        if not right:
            self.tell(401, {"error": "Unauthorized"})
        return right

    def tell(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    Handler.options = parsed()
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(argv=sys.argv[1:], pid=os.getpid(), worker=worker.pid)
    print("INFO loading weights", flush=True)
    if MOOD == "broken":
        print("ValueError: no room for the KV cache", flush=True)
        os._exit(1)
    time.sleep(0.3)
    ThreadingHTTPServer.request_queue_size = 64  # all questions connect at once
    ThreadingHTTPServer((Handler.options.host, Handler.options.port), Handler).serve_forever()
