"""An OpenAI-compatible server of a run's base and adapter: llama.cpp's, with the model's name as the switch.

llama.cpp loads the base once and the adapter as a LoRA. A request for ``base`` has the adapter's scale at 0.
"""

import json
import shlex
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from trainer.contract.command.errors import Usage
from trainer.gguf import converter, export
from trainer.gguf.engine import JSON, Engine
from trainer.signals import StopRequest

MODELS = {"adapter": 1.0, "base": 0.0}
PATHS = ("/v1/chat/completions", "/v1/completions")
SLOTS = 2  # one for each model, so that neither loses its prompt to the other
BLOCK = 65536


class Handler(BaseHTTPRequestHandler):
    """Answers the list of models, and hands chats on to llama.cpp."""

    engine: ClassVar[Engine]

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._refuse(f"no {self.path}: there are /v1/models, {', '.join(PATHS)}")
            return
        models = [{"id": name, "object": "model", "owned_by": "sft-launch"} for name in MODELS]
        self._answer(HTTPStatus.OK, {"object": "list", "data": models})

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            name = body.get("model", "adapter")
        except (ValueError, AttributeError):
            self._refuse("the body is not a JSON object", HTTPStatus.BAD_REQUEST)
            return
        if self.path not in PATHS or name not in MODELS:
            self._refuse(f"no {name} at {self.path}: the models are {', '.join(MODELS)}")
            return
        body["lora"] = [{"id": 0, "scale": MODELS[name]}]
        with closing(self.engine.connect()) as connection:
            connection.request("POST", self.path, json.dumps(body), JSON)
            answer = connection.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            while block := answer.read1(BLOCK):
                self.wfile.write(block)

    def _refuse(self, why: str, status: HTTPStatus = HTTPStatus.NOT_FOUND) -> None:
        self._answer(status, {"error": {"message": why, "type": "invalid_request_error"}})

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is ignored."""


def serve(
    run: Path,
    *,
    host: str,
    port: int,
    context: int,
    say: Callable[[str], None],
    data: Path | None = None,
    base: str | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM. The GGUF files are made the first time, in the folder ``gguf`` of the run.

    Raises ``Usage`` if the port is taken, else as ``trainer.gguf.export.make``.
    """
    converter.check_installed()
    try:
        server = Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise Usage(f"cannot listen on {host}:{port}: {error}", "choose another --port") from None
    with server, StopRequest():
        *files, modelfile = export.files(run / "gguf", "lora")
        if not modelfile.exists():
            export.make(run, run / "gguf", "lora", say=say, data=data, base=base)
        with Engine(*files, context=context, slots=SLOTS) as Handler.engine:
            address = f"http://{host}:{server.server_port}/v1"
            chat = {"model": "adapter", "messages": [{"role": "user", "content": "Hello"}]}
            say(f"serving  {address} (OpenAI's API; models: {', '.join(MODELS)})")
            say(
                f"try      curl -s {address}/chat/completions -H 'Content-Type: application/json' "
                f"-d '{json.dumps(chat)}'"
            )
            say(f"chat     launch chat {shlex.quote(str(run))} --server {address}")
            say("stop     Ctrl-C")
            try:
                server.serve_forever(poll_interval=0.1)
            except KeyboardInterrupt:
                say("stopped")
