"""Rents a pod through the client of dstack, as its RunPod backend does; prints what it got as JSON."""

import json
import os
import sys
import time
from typing import Any

from dstack._internal.core.backends.runpod import api_client
from dstack._internal.core.backends.runpod.api_client import RunpodApiClient, RunpodV2ClientError

api_client.API_V2_URL = os.environ["RUNPOD_API_BASE_URL"] + "/v2"
given: dict[str, Any] = json.loads(sys.argv[1])
client = RunpodApiClient(os.environ["RUNPOD_API_KEY"])
found: dict[str, Any] = {
    "valid": client.validate_api_key(),
    "valid_with_another": RunpodApiClient("rpa_wrong").validate_api_key(),
}

registry = client.create_container_registry_credentials(name="mine", username="me", password="x")
found["registries"] = [one["name"] for one in client.list_container_registry_credentials()]
# What RunpodCompute.run_job of dstack/_internal/core/backends/runpod/compute.py gives.
request = {
    "name": "dstack-0-0",
    "cloud": "SECURE",
    "gpu_type_id": given["gpu"],
    "gpu_count": 1,
    "min_cpu_count_per_gpu": 8,
    "min_memory_in_gb_per_gpu": 62,
    "container_disk_in_gb": 20,
    "image_name": given["image"],
    "container_registry_credentials_id": registry["id"],
    "entrypoint": ["/bin/sh"],
    "cmd": ["-c", "echo started && sleep 600"],
    "ports": ["10022/tcp"],
    "env": {"RUNPOD_POD_USER": "0"},
}
made = pod = client.create_pod(**request)
for _ in range(400):
    if pod is None or pod["status"] == "RUNNING":
        break
    time.sleep(0.05)
    pod = client.get_pod(made["id"])
found["running"] = pod
try:
    client.create_pod(**{**request, "min_memory_in_gb_per_gpu": 4096})
except RunpodV2ClientError as fault:
    found["no_capacity"] = [fault.status, str(fault)]
found["terminated"] = client.terminate_pod(made["id"])
found["gone"] = client.get_pod(made["id"])
found["terminated_again"] = client.terminate_pod(made["id"])
client.delete_container_registry_credentials(registry["id"])
found["registries_left"] = client.list_container_registry_credentials()

volume = client.create_network_volume(name="data", size=10, data_center_id="US-KS-2")
found["volume"] = client.get_network_volume(volume["id"])
found["volume_deleted"] = client.delete_network_volume(volume["id"])
found["volume_left"] = client.get_network_volume(volume["id"])
print(json.dumps(found))
