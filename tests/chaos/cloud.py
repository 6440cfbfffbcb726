"""RunPod's API v2 as the real client meets it, in virtual time and with its faults."""

import json
from email.utils import formatdate
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import httpx2

from tests.chaos.clock import Clock
from tests.chaos.pod import Pod
from trainer.pod.release import Answer

PRICES = (("NVIDIA RTX A5000", 0.27), ("NVIDIA L4", 0.39), ("NVIDIA GeForce RTX 3090", 0.46))
DISK = 0.1 / 730
NONE_FREE = "There are no longer any instances available with the requested specifications."
LATENCY = 0.1


def card(name: str, price: float) -> dict[str, Any]:
    return {
        "id": name,
        "name": name.removeprefix("NVIDIA "),
        "memory": 24,
        "secure": True,
        "price": {"secure": price, "community": 0.0},
        "maxCount": {"secure": 8},
        "availability": "HIGH",
        "dataCenters": [],
        "cudaVersions": [{"version": "13.0", "available": True}],
    }


def error(status: int, detail: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"title": "T", "detail": detail}, headers=headers)


class Cloud:
    """``troubles``: each is asked about every request, and may answer in the place of the API."""

    def __init__(self, clock: Clock, folder: Path, rng: Random, plans: list[SimpleNamespace]):
        self.clock, self.folder, self.rng, self.plans = clock, folder, rng, plans
        self.gpus = [card(*item) for item in PRICES]
        self.pods: dict[str, Pod] = {}
        self.grain = 1.0
        self.troubles: list[Any] = []
        self.troubles_had: list[Any] = []
        self.outages: list[tuple[float, float]] = []
        self.unseen = 0.0  # seconds that a fresh pod is unknown
        self.none_free: dict[str, int] = {}
        self.none_to_wake = 0
        self.bill_lag = 0.0
        self.deletes: list[tuple[Pod, str, bool]] = []
        self.home_has: Any = lambda pod: True
        self.asked: list[str] = []

    def down(self) -> bool:
        return any(since <= self.clock.time < until for since, until in self.outages)

    def end_troubles(self) -> None:
        self.troubles_had += self.troubles
        self.troubles = []

    def on_delete(self, pod: Pod, by: str) -> None:
        # A pod in ERROR cannot be stopped: at its deadline it is deleted with what is on it.
        # So is one whose key may only delete; the user was told so before the training.
        allowed = pod.status == "ERROR" or (by == "pod" and pod.plan.may == "terminate")
        self.deletes.append((pod, by, allowed or self.home_has(pod)))

    # From the laptop

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        begun = self.clock.time
        self.clock.sleep(LATENCY)
        method, path = request.method, request.url.path
        self.asked.append(f"{self.clock.time - self.clock.begin:9.1f} {method} {path}")
        if self.down():
            raise httpx2.ConnectError("Connection refused")
        trouble = next(filter(None, (t.meet(method, path) for t in self.troubles)), None)
        answer = self.answer(request) if trouble is None else trouble(lambda: self.answer(request))
        answer.headers["Date"] = formatdate(self.clock.time, usegmt=True)
        self.clock.sleep(LATENCY)
        if self.clock.time - begun > 60:
            raise httpx2.ReadError("the laptop slept")
        return answer

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        parts = request.url.path.removeprefix("/v2/").split("/")
        body = json.loads(request.content or b"null")
        match request.method, parts:
            case "GET", ["pods"]:
                return self.ok({"pods": [self.show(p) for p in self.pods.values() if self.seen(p)]})
            case "POST", ["pods"]:
                return self.create(body)
            case "GET", ["catalog", "gpus"]:
                return self.ok({"gpus": self.gpus})
            case "GET", ["billing", "pods"]:
                return self.ok({"records": self.bill(str(request.url.params["podId"]))})
        pod = self.pods.get(parts[1]) if parts[0] == "pods" and len(parts) > 1 else None
        if pod is None or not self.seen(pod):
            return error(404, "pod not found")
        match request.method, parts[2:]:
            case "GET", []:
                return self.ok(self.show(pod))
            case "DELETE", []:
                pod.delete("laptop")
                return httpx2.Response(204)
            case "POST", ["action"]:
                return self.act(pod, body["action"])
            case "GET", ["logs"]:
                quiet = request.extensions["timeout"]["read"]
                only = request.url.params.get("source")
                return httpx2.Response(200, stream=Lines(self, pod, only, quiet))
        return error(404, "no such thing")

    def ok(self, content: dict[str, Any]) -> httpx2.Response:
        return httpx2.Response(200, json=content)

    def seen(self, pod: Pod) -> bool:
        return pod.status != "TERMINATED" and self.clock.time >= (pod.held[0][0] or 0) + self.unseen

    def create(self, body: dict[str, Any]) -> httpx2.Response:
        gpu = body["gpu"]["id"]
        if self.none_free.get(gpu, 0) > 0:
            self.none_free[gpu] -= 1
            return error(400, NONE_FREE)
        number = len(self.pods)
        pod = Pod(self, number, body, self.plans[min(number, len(self.plans) - 1)])
        self.pods[pod.id] = pod
        return httpx2.Response(201, json=self.show(pod))

    def act(self, pod: Pod, action: str) -> httpx2.Response:
        if action == "stop" and pod.status not in {"EXITED", "ERROR"}:
            pod.stop()
        elif action == "start" and pod.status in {"EXITED", "ERROR"}:
            if self.none_to_wake > 0:
                self.none_to_wake -= 1
                return error(400, NONE_FREE)
            pod.start()
        else:
            return error(409, f"not allowed in state {pod.status}")
        return self.ok(self.show(pod))

    def show(self, pod: Pod) -> dict[str, Any]:
        up = pod.status == "RUNNING"
        rate = pod.gpu["price"]["secure"] * self.factor(pod)
        direct = {"host": "192.0.2.7", "port": pod.port, "username": "root"}
        return {
            "id": pod.id,
            "name": pod.name,
            "status": pod.status,
            "image": pod.body["image"],
            "cost": 0.0 if pod.status == "EXITED" else rate,
            "gpu": {"id": pod.gpu["id"], "count": 1},
            "ssh": {"direct": direct} if up else None,
            "runtime": {"uptime": int(self.clock.time - pod.up_at)} if up else None,
            "env": pod.body["env"],
        }

    def factor(self, pod: Pod) -> float:
        """How many times the catalog's rate the pod is billed by now."""
        after = (pod.held[0][0] or 0.0) + pod.plan.dearer_after
        return float(pod.plan.dearer) if self.clock.time >= after else 1.0

    def rate(self, pod: Pod) -> float:
        """USD per hour with disks, by the catalog."""
        mount = pod.body["mounts"]["persistent"]["size"]
        return float(pod.gpu["price"]["secure"] + (pod.body["disk"] + mount) * DISK)

    def cost(self, pod: Pod, until: float) -> float:
        held = sum((b if b is not None else until) - (a or 0.0) for a, b in pod.held)
        return float(held) / 3600 * self.rate(pod)

    def bill(self, pod_id: str) -> list[dict[str, Any]]:
        pod = self.pods.get(pod_id)
        if pod is None or self.clock.time < (pod.held[-1][1] or self.clock.time) + self.bill_lag:
            return []
        total = self.cost(pod, self.clock.time) * self.factor(pod)
        return [{"podId": pod_id, "totalAmount": total, "gpuAmount": total, "diskAmount": 0.0}]

    # From a pod

    def act_from_inside(self, pod: Pod, action: str) -> Answer:
        self.clock.sleep(LATENCY)
        if self.down():
            return Answer(None, f"{action}: no answer")
        for trouble in self.troubles:
            if (met := trouble.meet("POST", f"/v2/pods/{pod.id}/action")) is not None:
                try:
                    met(lambda: self._inside(pod, action))
                except httpx2.TransportError:
                    return Answer(None, f"{action}: timed out")
                return Answer(500, f"{action}: HTTP 500")
        if pod.plan.probe[0] in {401, 403} or pod.plan.may not in {"", action}:
            return Answer(403, f"{action}: HTTP 403")
        return self._inside(pod, action)

    def _inside(self, pod: Pod, action: str) -> Answer:
        if action == "terminate":
            pod.delete("pod")
        else:
            pod.stop()
        return Answer(200, "accepted")


class Lines(httpx2.SyncByteStream):
    """A pod's log as server-sent events, until nothing is said for ``quiet`` seconds."""

    def __init__(self, cloud: Cloud, pod: Pod, only: str | None, quiet: float) -> None:
        self.cloud, self.pod, self.only, self.quiet = cloud, pod, only, quiet

    def __iter__(self):
        at = 0
        while True:
            for number, (source, text) in enumerate(self.pod.log[at:], at):
                if self.only in {None, source}:
                    data = json.dumps({"ts": f"t{number}", "source": source, "line": text})
                    yield f"id: {number}\ndata: {data}\n\n".encode()
            at = len(self.pod.log)
            self.cloud.clock.sleep(self.quiet)
            if self.cloud.down() or self.pod.status == "TERMINATED":
                raise httpx2.ReadError("Connection reset")
            if at == len(self.pod.log):
                raise httpx2.ReadTimeout("silent")
