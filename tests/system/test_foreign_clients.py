"""The emulator, driven by clients that others wrote: the vendor's own package, and dstack's."""

from typing import Any

import pytest

from launcher.runpod_api import PodRequest
from tests.system import foreign
from tests.system.client import CARD

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture
def drive(runpod, tmp_path):
    """``drive(requirement, script, given)``: what a script prints that knows the emulator and its key."""
    runpod.billing.lag = 0.0

    def do(requirement: str, script: str, given: dict[str, Any]) -> Any:
        variables = {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_API_KEY": runpod.keys.account}
        try:
            return foreign.run(requirement, script, given, HOME=str(tmp_path), **variables)
        except foreign.NoClient as fault:
            pytest.skip(str(fault))

    return do


def as_runpod(pod: PodRequest) -> dict[str, Any]:
    """The arguments of ``runpod.create_pod`` for what it can say of `pod`."""
    return {
        "name": pod.name,
        "image_name": pod.image,
        "gpu_type_id": pod.gpu_id,
        "gpu_count": pod.gpu_count,
        "cloud_type": "SECURE",
        "data_center_id": pod.data_centers[0],
        "volume_in_gb": pod.volume_gb,
        "volume_mount_path": pod.mount,
        "container_disk_in_gb": pod.disk,
        "docker_args": pod.args,
        "ports": ",".join(pod.ports),
        "env": dict(pod.env),
    }


@pytest.fixture
def pod(sshd_image) -> PodRequest:
    return PodRequest(
        name="sft-1",
        image=sshd_image,
        gpu_id=CARD,
        gpu_count=1,
        min_cuda="13.0",
        disk=20,
        mount="/workspace",
        env={"FINISH_BY": "1"},
        volume_gb=10,
        args="one 'two three'",
        registry="reg",
        data_centers=("US-KS-2",),
    )


def test_the_vendors_package_rents_stops_starts_and_deletes_a_pod(drive, runpod, pod):
    found = drive(foreign.RUNPOD, "with_runpod.py", as_runpod(pod))
    assert CARD in found["cards"]
    assert found["card"]["availability"] != "NONE"
    assert (found["registries"], found["registries_left"]) == (["mine"], [])
    created, running = found["created"], found["running"]
    assert (created["status"], created["env"]) == ("PROVISIONING", {"FINISH_BY": "1"})
    assert running["ssh"]["direct"]["port"] == running["runtime"]["ports"][0]["public"]
    assert found["listed"] == [created["id"]]
    assert found["line"]["source"] == "container"
    assert found["wrong_state"][:2] == ["QueryError", 409]
    assert (found["stopped"]["status"], found["stopped"]["cost"]) == ("EXITED", 0.0)
    assert found["started"]["status"] == "PROVISIONING"
    assert (found["gone"], found["left"]) == (None, [])
    assert found["no_capacity"][:2] == ["QueryError", 400]
    assert found["invalid"][:2] == ["QueryError", 422]
    assert found["wrong_key"][0] == "AuthenticationError"
    assert runpod.billing.gpu_seconds(created["id"]) > 0


def test_our_create_body_is_theirs_but_for_what_theirs_cannot_say(drive, runpod, pod):
    drive(foreign.RUNPOD, "with_runpod.py", as_runpod(pod))
    theirs = next(seen.body for seen in runpod.requests if seen.operation == "create")
    ours = pod.body()
    same = {key: value for key, value in ours.items() if key not in {"gpu", "registry"}}
    assert {key: theirs[key] for key in same} == same
    assert {**theirs["gpu"], "minCudaVersion": "13.0"} == ours["gpu"]
    assert theirs.keys() - ours.keys() == {"startSsh"}


def test_dstack_rents_and_deletes_a_pod(drive, runpod, sshd_image):
    found = drive(foreign.DSTACK, "with_dstack.py", {"gpu": CARD, "image": sshd_image})
    assert (found["valid"], found["valid_with_another"]) == (True, False)
    assert (found["registries"], found["registries_left"]) == (["mine"], [])
    assert found["running"]["status"] == "RUNNING"
    (port,) = found["running"]["runtime"]["ports"]
    assert port["private"] == 10022
    assert found["no_capacity"][0] == 400
    assert (found["terminated"], found["gone"], found["terminated_again"]) == (True, None, False)
    assert found["volume"]["dataCenter"] == "US-KS-2"
    assert (found["volume_deleted"], found["volume_left"]) == (True, None)
    assert runpod.pods.only().log.texts("container") == ["started"]


def test_why_the_launcher_does_not_use_the_vendors_package(drive):
    """docs/decisions/runpod-sdk.md: where one of these fails for a newer version, decide again."""
    found = drive(foreign.RUNPOD, "limits_of_runpod.py", {})
    assert "min_cuda_version" not in found["create_pod"]
    assert not [name for name in found["create_pod"] if "registry" in name]
    assert "data_center_ids" not in found["create_pod"]
    assert "api_key" not in {*found["create_pod"], *found["stop_pod"]}
    assert not [name for name in found["stream_pod_logs"] if "event" in name]
    (posted, followed, read) = found["requests"]
    assert posted == ["POST", "/v2/pods", "Bearer rpa_given"]
    assert followed[:2] == ["GET", "/v2/elsewhere"]
    assert read[2].startswith("Basic ")
    assert "7" not in found["kept_of_a_429"].replace("429", "")
