"""Rents a pod through the vendor's own package, as its users do; prints what it got as JSON."""

import asyncio
import json
import sys
import time
from typing import Any

import runpod
from runpod import error
from runpod.apps.api import AppsApiClient
from runpod.apps.logs import stream_pod_logs

request: dict[str, Any] = json.loads(sys.argv[1])
found: dict[str, Any] = {}


def until(key: str, status: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while (pod := runpod.get_pod(key) or {}).get("status") != status:
        if time.monotonic() > end:
            raise TimeoutError(f"{key} is not {status} after 20 s: {pod}")
        time.sleep(0.05)
    return dict(pod)


def refusal(call: Any, **arguments: Any) -> list[Any]:
    try:
        call(**arguments)
    except error.RunPodError as fault:
        return [type(fault).__name__, getattr(fault, "status_code", None), str(fault)]
    return []


async def first_line(key: str) -> Any:
    async for line in stream_pod_logs(key, log_type="container"):
        return line
    return None


def registries() -> list[str]:
    return [one["name"] for one in asyncio.run(AppsApiClient().list_registry_auths())]


found["cards"] = [card["id"] for card in runpod.get_gpus()]
found["card"] = runpod.get_gpu(request["gpu_type_id"])
registry = runpod.create_container_registry_auth("mine", "me", "secret")
found["registries"] = registries()
runpod.delete_container_registry_auth(registry["id"])
found["registries_left"] = registries()

made = runpod.create_pod(**request)
key = made["id"]
found["created"] = made
found["running"] = until(key, "RUNNING")
found["listed"] = [pod["id"] for pod in runpod.get_pods()]
found["line"] = asyncio.run(first_line(key))
found["wrong_state"] = refusal(runpod.resume_pod, pod_id=key)
found["stopped"] = runpod.stop_pod(key)
found["started"] = runpod.resume_pod(key)
until(key, "RUNNING")
runpod.terminate_pod(key)
found["gone"] = runpod.get_pod(key)
found["left"] = runpod.get_pods()
found["no_capacity"] = refusal(runpod.create_pod, **{**request, "gpu_count": 9})
found["invalid"] = refusal(runpod.create_pod, **{**request, "name": ""})
found["wrong_key"] = refusal(runpod.get_pods, api_key="rpa_wrong")
print(json.dumps(found))
