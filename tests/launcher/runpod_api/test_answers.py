import runpy
from pathlib import Path

import pytest

from launcher.runpod_api.answers import Endpoint, Gpu, Pod

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
POD = FAKE["POD"]


def test_a_pod_is_read(fake, api):
    fake.on("GET", "/v2/pods/abc123", POD)
    pod = api.pod("abc123")
    assert (pod.id, pod.name, pod.status) == ("abc123", "sft-1", "RUNNING")
    assert pod.ssh == Endpoint(host="192.0.2.7", port=40022)
    assert (pod.uptime, pod.rate) == (12, 0.27)
    assert "PUBLIC_KEY" not in repr(pod)


@pytest.mark.parametrize("name", sorted(POD))
@pytest.mark.parametrize("value", [None, "text", 7, [], {}, [None], {"x": None}])
def test_whatever_a_field_holds_a_pod_is_read(name, value):
    assert isinstance(Pod.model_validate({**POD, name: value}), Pod)
    assert isinstance(
        Pod.model_validate({key: item for key, item in POD.items() if key != name}), Pod
    )


def test_the_address_is_also_found_among_the_ports():
    runtime = {"ports": [{"private": 22, "public": 30022, "type": "tcp", "ip": "192.0.2.9"}]}
    pod = Pod.model_validate({**POD, "ssh": {"direct": None}, "runtime": runtime})
    assert pod.ssh == Endpoint(host="192.0.2.9", port=30022)
    assert Pod.model_validate({**POD, "ssh": {"direct": None}, "runtime": {}}).ssh is None


@pytest.mark.parametrize("number", [202, 202.0, 202.9])
def test_a_whole_number_may_come_as_a_fraction(number):
    read = Pod.model_validate({**POD, "cost": number, "runtime": {"uptime": number}})
    assert (read.uptime, int(read.rate)) == (202, 202)


@pytest.mark.parametrize("number", [1e400, -1e400, float("nan"), 1e16, [], "much", None])
def test_a_number_that_cannot_be_is_not_read(number):
    read = Pod.model_validate({**POD, "cost": number, "runtime": {"uptime": number}})
    assert (read.uptime, read.rate) == (None, 0.0)


def test_one_odd_port_does_not_hide_the_others():
    ports = [
        {"private": 80, "public": None, "ip": None},
        {"private": 22, "public": 30022, "ip": "a"},
    ]
    read = Pod.model_validate({**POD, "ssh": None, "runtime": {"ports": ports}})
    assert read.ssh == Endpoint(host="a", port=30022)


def test_a_card_with_odd_fields_is_read_and_comes_back_from_json():
    read = Gpu.model_validate(
        {
            "id": "NVIDIA A40",
            "name": "A40",
            "memory": 48.0,
            "secure": True,
            "price": {"secure": 0.4, "community": 0.35},
            "maxCount": {"secure": 10},
            "availability": "high",
            "dataCenters": [{"id": "EU-SE-1", "name": "Sweden", "availability": "Low"}],
            "cudaVersions": [{"version": "12.8", "available": True}, {"version": "12.4"}, None],
        }
    )
    assert (read.memory, read.secure_price, read.max_count) == (48, 0.4, 10)
    assert (read.availability, read.data_centers[0].availability) == ("HIGH", "LOW")
    assert read.cuda == {"12.8": True, "12.4": False}
    assert Gpu.model_validate_json(read.model_dump_json()) == read
