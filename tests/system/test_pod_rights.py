"""What a pod's own key may do: the probe and the guard's request against the emulator of RunPod's API."""

import pytest

from tests.system.client import Client
from tests.system.emulator.server import Emulator
from trainer.pod.release import Api, stop_or_delete

pytestmark = pytest.mark.engine


class Accepted(Exception):
    """The API has accepted a request."""


@pytest.mark.parametrize(
    ("rights", "only", "may", "ended"),
    [
        ({"get", "stop", "start", "delete"}, None, True, "EXITED"),
        ({"start"}, None, True, None),  # the probe that costs one request cannot tell
        ({"stop"}, "stop", True, "EXITED"),
        ({"delete"}, "terminate", True, "TERMINATED"),
        ({"stop", "delete"}, "stop", True, "EXITED"),
        ({"get"}, None, False, None),
    ],
)
def test_the_probe_changes_nothing_and_tells_what_the_deadline_will_do(
    engine, sshd_image, rights, only, may, ended
):
    with (
        Emulator(engine, pod_rights=frozenset(rights)) as runpod,
        Client(runpod.url, runpod.keys.account) as client,
    ):
        pod_id = client.create(sshd_image).json()["id"]
        client.status(pod_id, "RUNNING")
        pod = runpod.pods[pod_id]
        names = {"RUNPOD_API_KEY": pod.key, "RUNPOD_POD_ID": pod_id}
        api = Api(names | {"RUNPOD_API_BASE_URL": runpod.url})
        answer = api.probe()
        assert (answer.only, answer.may) == (only, may)
        assert pod.status == "RUNNING"

        said: list[str] = []
        tries: list[float] = []

        def accepted() -> None:
            raise Accepted

        def sleep(seconds: float) -> None:
            tries.append(seconds)
            if len(tries) > 3:
                raise TimeoutError

        with pytest.raises(Accepted if ended else TimeoutError):
            stop_or_delete(
                "stop",
                act=api.act,
                mark=None,
                say=said.append,
                sleep=sleep,
                at_deadline=True,
                accepted=accepted,
            )
        assert pod.status == (ended or "RUNNING")
        assert ended or "STILL BILLED" in said[-1]
