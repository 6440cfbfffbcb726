import runpy
from pathlib import Path

import pytest

from launcher.errors import (
    ApiUnavailable,
    NoCapacity,
    WrongState,
)
from launcher.runpod_api import UNSEEN, OutcomeUnknown, PodRequest

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
POD = FAKE["POD"]
REQUEST = FAKE["REQUEST"]
DROP = FAKE["DROP"]
problem = FAKE["problem"]


def test_lists_are_followed_to_their_end_and_leave_out_what_is_terminated(fake, api):
    more = {"hasNextPage": True, "nextCursor": "c2"}
    fake.on(
        "GET",
        "/v2/pods",
        {"pods": [POD, {**POD, "id": "dead", "status": "TERMINATED"}], "pagination": more},
        {"pods": [{**POD, "id": "other", "name": "x"}], "pagination": {"hasNextPage": False}},
    )
    assert [pod.id for pod in api.pods()] == ["abc123", "other"]
    assert [asked[2] for asked in fake.asked] == [{}, {"cursor": "c2"}]


def test_only_the_exact_name_counts(fake, api):
    fake.on("GET", "/v2/pods", {"pods": [POD, {**POD, "id": "two", "name": "sft-12"}]})
    assert [pod.id for pod in api.pods("sft-1")] == ["abc123"]


def test_the_request_always_names_what_the_scheduler_needs(fake, api):
    fake.on("POST", "/v2/pods", (201, POD))
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.asked[0][3] == {
        "name": "sft-1",
        "image": "ghcr.io/me/sft@sha256:00",
        "cloud": "SECURE",
        "gpu": {"id": "NVIDIA RTX A5000", "count": 1, "minCudaVersion": "13.0"},
        "disk": 20,
        "mounts": {"persistent": {"size": 30, "path": "/workspace"}},
        "ports": ["22/tcp"],
        "env": {"FINISH_BY": "1", "GONE_BY": "2"},
    }


def test_a_network_volume_replaces_the_host_disk():
    request = PodRequest(
        **{
            **REQUEST.__dict__,
            "volume_id": "vol",
            "registry": "reg",
            "data_centers": ("EU-RO-1",),
            "args": "pod",
        }
    )
    body = request.body()
    assert body["mounts"] == {"network": [{"volumeId": "vol", "path": "/workspace"}]}
    assert (body["registry"], body["args"], body["dataCenterIds"]) == ("reg", "pod", ["EU-RO-1"])


@pytest.mark.parametrize("answer", [DROP, problem(500, "oops"), (201, {}), (201, b"<html>")])
def test_a_pod_made_in_spite_of_an_error_is_found_not_made_again(fake, api, answer):
    fake.on("POST", "/v2/pods", answer)
    fake.on("GET", "/v2/pods", {"pods": []}, {"pods": []}, {"pods": [POD]})
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.count("POST", "/v2/pods") == 1


def test_create_is_tried_again_only_after_the_name_stayed_away(fake, api, slept):
    fake.on("POST", "/v2/pods", problem(502, "bad gateway"), (201, POD))
    fake.on("GET", "/v2/pods", {"pods": []})
    assert api.create_pod(REQUEST).id == "abc123"
    order = [asked[0] for asked in fake.asked]
    assert order == ["POST", *["GET"] * 9, "POST", "GET"]
    assert sum(slept) == UNSEEN


def test_a_pod_that_the_list_shows_late_is_not_made_twice(fake, api, slept):
    """A fresh pod may be unknown for UNSEEN seconds: a second one would bill until the run's end."""
    shown: list[object] = [{"pods": []}] * 8
    fake.on("POST", "/v2/pods", problem(502, "bad gateway"), (201, {**POD, "id": "second"}))
    fake.on("GET", "/v2/pods", *shown, {"pods": [POD]})
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.count("POST", "/v2/pods") == 1
    assert 30 < sum(slept) <= UNSEEN


def test_a_twin_that_turns_up_late_is_released(fake, api):
    twin = {**POD, "id": "twin"}
    fake.on("POST", "/v2/pods", problem(500, "oops"), (201, POD))
    fake.on("GET", "/v2/pods", *[{"pods": []}] * 9, {"pods": [POD, twin]}, {"pods": [POD]})
    fake.on("DELETE", "/v2/pods/twin", (204,))
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.count("DELETE", "/v2/pods/twin") == 1
    assert fake.count("DELETE", "/v2/pods/abc123") == 0


def test_create_gives_up_saying_what_may_exist(fake, api):
    fake.on("POST", "/v2/pods", problem(500, "oops"))
    fake.on("GET", "/v2/pods", {"pods": []})
    with pytest.raises(OutcomeUnknown, match="may exist") as caught:
        api.create_pod(REQUEST)
    assert "sft-1" in caught.value.hint
    assert fake.count("POST", "/v2/pods") == 3


def test_create_with_the_api_gone_is_of_unknown_outcome(fake, api):
    fake.on("POST", "/v2/pods", DROP)
    fake.on("GET", "/v2/pods", DROP)
    with pytest.raises(OutcomeUnknown, match="may exist"):
        api.create_pod(REQUEST)
    assert fake.count("POST", "/v2/pods") == 1


def test_a_rate_limited_create_was_not_carried_out_and_waits_as_told(fake, api, slept):
    limited = (429, problem(429, "slow down")[1], {"Retry-After": "12"})
    fake.on("POST", "/v2/pods", limited, (201, POD))
    assert api.create_pod(REQUEST).id == "abc123"
    assert slept == [12.25]
    assert fake.count("GET", "/v2/pods") == 0


def test_stop_and_start_are_idempotent(fake, api):
    conflict = problem(409, "not valid")
    fake.on("POST", "/v2/pods/abc123/action", {**POD, "status": "EXITED"}, conflict)
    fake.on("GET", "/v2/pods/abc123", {**POD, "status": "EXITED"}, {**POD, "status": "RUNNING"})
    assert api.stop("abc123").status == "EXITED"
    assert api.stop("abc123").status == "EXITED"
    assert api.start("abc123").status == "RUNNING"
    assert [asked[3] for asked in fake.asked if asked[0] == "POST"] == [
        {"action": "stop"},
        {"action": "stop"},
        {"action": "start"},
    ]


def test_an_action_that_is_really_not_allowed_is_said(fake, api):
    fake.on("POST", "/v2/pods/abc123/action", problem(409, "not valid"))
    fake.on("GET", "/v2/pods/abc123", POD)
    with pytest.raises(WrongState):
        api.stop("abc123")


def test_a_stopped_pod_whose_host_is_full(fake, api):
    detail = "not enough free GPUs on the host machine"
    fake.on("POST", "/v2/pods/abc123/action", problem(400, detail))
    with pytest.raises(NoCapacity):
        api.start("abc123")


def test_release_waits_until_get_and_list_agree(fake, api):
    fake.on("DELETE", "/v2/pods/abc123", (204,), problem(404, "gone"))
    fake.on("GET", "/v2/pods/abc123", POD, problem(404, "gone"))
    fake.on("GET", "/v2/pods", {"pods": [POD]}, {"pods": []})
    api.release("abc123")
    assert fake.count("GET", "/v2/pods/abc123") == 3
    assert fake.count("GET", "/v2/pods") == 2


def test_a_delete_that_answers_404_proves_nothing(fake, api, slept):
    fake.on("DELETE", "/v2/pods/abc123", problem(404, "?"), problem(404, "?"), (204,))
    fake.on("GET", "/v2/pods/abc123", problem(404, "?"), POD, problem(404, "gone"))
    fake.on("GET", "/v2/pods", {"pods": []})
    api.release("abc123")
    assert fake.count("DELETE", "/v2/pods/abc123") == 3


def test_releasing_again_is_no_error_and_looks_more_than_once(fake, api):
    fake.on("GET", "/v2/pods", {"pods": []})
    api.release("abc123")
    assert fake.count("GET", "/v2/pods") == 3


def test_a_pod_that_does_not_go_is_said(fake, api):
    fake.on("DELETE", "/v2/pods/abc123", (204,))
    fake.on("GET", "/v2/pods/abc123", POD)
    with pytest.raises(ApiUnavailable, match="still be billed"):
        api.release("abc123")


def test_terminated_is_as_good_as_gone(fake, api):
    dead = {**POD, "status": "TERMINATED"}
    fake.on("DELETE", "/v2/pods/abc123", (204,))
    fake.on("GET", "/v2/pods/abc123", dead)
    fake.on("GET", "/v2/pods", {"pods": [dead]})
    api.release("abc123")


def test_an_id_cannot_leave_its_place_in_the_path(fake, api):
    assert api.pod("../registries") is None
    assert fake.asked[0][1] == "/v2/pods/..%2Fregistries"


def test_the_catalog_says_when_it_was_read(fake, api):
    gpu = {
        "id": "NVIDIA L4",
        "name": "L4",
        "memory": 24,
        "secure": True,
        "price": {"secure": 0.49, "community": None},
        "maxCount": {"secure": 8},
        "availability": "LOW",
        "dataCenters": [{"id": "EU-RO-1", "name": "Romania", "availability": "LOW"}],
        "cudaVersions": [{"version": "13.0", "available": True}],
    }
    fake.on("GET", "/v2/catalog/gpus", {"gpus": [gpu, {"id": "x", "price": None}]})
    catalog = api.catalog(2, min_cuda="13.0")
    assert (catalog.read_at, catalog.count) == (1000.0, 2)
    assert catalog.gpus[0].secure_price == 0.49
    assert catalog.gpus[0].cuda == {"13.0": True}
    assert catalog.gpus[0].data_centers[0].id == "EU-RO-1"
    assert fake.asked[0][2] == {
        "include": "AVAILABILITY",
        "product": "POD",
        "cloud": "SECURE",
        "count": "2",
        "minCudaVersion": "13.0",
    }


def test_data_centers(fake, api):
    center = {"id": "EU-RO-1", "name": "Romania", "networkVolumeTypes": ["STANDARD"]}
    fake.on("GET", "/v2/catalog/datacenters", {"dataCenters": [center]})
    assert api.data_centers()[0].volume_types == ("STANDARD",)


def test_a_registry_is_created_once_and_an_older_one_is_not_taken_for_it(fake, api):
    old, new = {"id": "old", "name": "ghcr"}, {"id": "new", "name": "ghcr"}
    fake.on("GET", "/v2/registries", {"registries": [old]}, {"registries": [old, new]})
    fake.on("POST", "/v2/registries", problem(500, "oops"))
    assert api.create_registry("ghcr", "me", "hunter2").id == "new"
    assert fake.count("POST", "/v2/registries") == 1
    assert fake.asked[1][3] == {"name": "ghcr", "username": "me", "password": "hunter2"}


def test_a_volume_is_created(fake, api):
    fake.on("GET", "/v2/network-volumes", {"networkVolumes": []})
    answer = {"id": "v1", "name": "cache", "size": 50, "dataCenter": "EU-RO-1"}
    fake.on("POST", "/v2/network-volumes", (201, answer))
    assert api.create_volume("cache", size=50, data_center="EU-RO-1").data_center == "EU-RO-1"
    assert fake.asked[1][3] == {"name": "cache", "size": 50, "dataCenter": "EU-RO-1"}


def test_the_bill_of_one_pod(fake, api):
    record = {"podId": "abc123", "startTime": "a", "endTime": "b", "totalAmount": 0.5}
    fake.on("GET", "/v2/billing/pods", {"records": [record, {**record, "podId": "z"}]})
    bill = api.bill("abc123", since="2026-11-22T12:00:00Z")
    assert [(line.total, line.gpu) for line in bill] == [(0.5, 0.0)]
    assert fake.asked[0][2] == {
        "podId": "abc123",
        "bucketSize": "hour",
        "startTime": "2026-11-22T12:00:00Z",
    }
