import runpy
from pathlib import Path

import pytest

from launcher.runpod_api.answers import Endpoint, Pod

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
POD = FAKE["POD"]


def test_a_pod_is_read(fake, api):
    fake.on("GET", "/v2/pods/abc123", POD)
    pod = api.pod("abc123")
    assert (pod.id, pod.status, pod.rate, pod.gpu_id) == (
        "abc123",
        "RUNNING",
        0.27,
        "NVIDIA RTX A5000",
    )
    assert pod.ssh == Endpoint("192.0.2.7", 40022, "root")
    assert (pod.uptime, pod.gpu_use, pod.started) == (12, (97.0,), "")
    assert "PUBLIC_KEY" not in repr(pod)


@pytest.mark.parametrize("name", sorted(POD))
@pytest.mark.parametrize("value", [None, "text", 7, [], {}, [None], {"x": None}])
def test_whatever_a_field_holds_a_pod_is_read(name, value):
    assert isinstance(Pod.read({**POD, name: value}), Pod)
    assert isinstance(Pod.read({key: item for key, item in POD.items() if key != name}), Pod)


def test_the_address_is_also_found_among_the_ports():
    runtime = {"ports": [{"private": 22, "public": 30022, "type": "tcp", "ip": "192.0.2.9"}]}
    pod = Pod.read({**POD, "ssh": {"direct": None}, "runtime": runtime})
    assert pod.ssh == Endpoint("192.0.2.9", 30022)
    assert Pod.read({**POD, "ssh": {"direct": None}, "runtime": {}}).ssh is None
