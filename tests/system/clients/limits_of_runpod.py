"""What the vendor's package cannot do that the launcher needs; prints what was found as JSON.

docs/decisions/ says why each matters. It runs against a server that redirects each POST.
"""

import inspect
import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import runpod
from runpod import error
from runpod.api.rest import run_rest_request
from runpod.apps.logs import stream_pod_logs

requests: list[list[str]] = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        requests.append([self.command, self.path, self.headers.get("Authorization", "")])
        self.send_response(302)
        self.send_header("Location", "/v2/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        requests.append([self.command, self.path, self.headers.get("Authorization", "")])
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
runpod.api.rest.os.environ["RUNPOD_API_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
kept = ""
try:
    run_rest_request("POST", "/v2/pods", api_key="rpa_given", json={})
except error.QueryError as fault:
    kept = " ".join(str(value) for value in vars(fault).values())
Path.home().joinpath(".netrc").write_text("machine 127.0.0.1 login other password secret\n")
Path.home().joinpath(".netrc").chmod(0o600)
with suppress(error.QueryError):
    run_rest_request("GET", "/v2/pods", api_key="rpa_given")
print(
    json.dumps(
        {
            "create_pod": sorted(inspect.signature(runpod.create_pod).parameters),
            "stop_pod": sorted(inspect.signature(runpod.stop_pod).parameters),
            "stream_pod_logs": sorted(inspect.signature(stream_pod_logs).parameters),
            "requests": requests,
            "kept_of_a_429": kept,
        }
    )
)
