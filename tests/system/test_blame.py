"""Who is at fault when a container does not start. Judge: a real Docker engine and a real registry."""

import docker.errors
import pytest

from launcher.pod.blame import Blame, find
from tests.system.client import CARD
from tests.system.engine import DEBIAN
from tests.system.registry import private_registry

pytestmark = pytest.mark.engine
GPU = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]


@pytest.mark.parametrize(
    ("blame", "how"),
    [
        (Blame.IMAGE, {"command": ["pod"]}),
        (Blame.IMAGE, {"command": ["/no/such/program"]}),
        (Blame.IMAGE, {"command": ["/etc/passwd"]}),
        (Blame.IMAGE, {"command": ["true"], "user": "nobodyx"}),
        (Blame.IMAGE, {"command": ["true"], "working_dir": "/etc/passwd"}),
        (Blame.IMAGE, {"command": ["true"], "volumes": ["/tmp:/etc/passwd"]}),
        (Blame.HOST, {"command": ["true"], "devices": ["/dev/nvidia0:/dev/nvidia0"]}),
        (Blame.HOST, {"command": ["true"], "cpuset_cpus": "4000"}),
        (Blame.HOST, {"command": ["true"], "runtime": "nowhere"}),
        (Blame.HOST, {"command": ["true"], "device_requests": GPU}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_container_that_cannot_start(engine, blame, how):
    with pytest.raises(docker.errors.APIError) as caught:
        engine.client.containers.run(DEBIAN, remove=True, **how)
    found = find(str(caught.value.explanation))
    assert found is not None, caught.value
    assert found.blame == blame, found


def test_an_image_that_cannot_be_pulled(engine, tmp_path):
    with private_registry(tmp_path, user="me", password="secret") as private:
        for blame, reference in (
            (Blame.IMAGE, f"{engine.registry}/sft-absent:1"),
            (Blame.ACCOUNT, f"{private}/sft:1"),
            (Blame.LINK, "127.0.0.1:9/sft:1"),
            (Blame.LINK, "registry.invalid/sft:1"),
        ):
            with pytest.raises(docker.errors.APIError) as caught:
                engine.client.images.pull(reference)
            found = find(str(caught.value.explanation))
            assert found is not None, caught.value
            assert found.blame == blame, caught.value


def test_the_log_of_a_pod_with_a_wrong_image_blames_the_image(client, engine):
    """This one rented every card up to the dearest: it stands inside `failed to create shim task`."""
    reference = engine.push(DEBIAN, "sft-debian")
    made = client.create(reference, gpu={"id": CARD, "count": 1}, args="pod").json()
    line = client.line(made["id"], "error starting container", source="system")
    found = find(line)
    assert found is not None
    assert (found.blame, found.text) == (
        Blame.IMAGE,
        'exec: "pod": executable file not found in $PATH',
    )
    assert not found.blame.another_card_may_help
