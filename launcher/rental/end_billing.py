"""End what a pod costs, in any state: stop it, so that its disk is kept, or delete it."""

from typing import Literal

from launcher.errors import WrongState
from launcher.runpod_api import Api
from launcher.world import World
from trainer.contract.command.errors import NotFound

TRIES = 4
PAUSE = 2.0  # seconds


def end_billing(
    pod_id: str, api: Api, world: World, *, delete: bool = False
) -> Literal["stopped", "deleted", "gone"]:
    """Stop the pod; delete it with ``delete``, or where its state does not allow to stop it.

    Raises ``WrongState`` when the pod neither stops nor goes within a few tries.
    """
    for _ in range(TRIES):
        pod = api.pod(pod_id)
        if pod is None or pod.deleted:
            if api.absent(pod_id):
                return "gone"
        elif pod.stopped and not delete:
            return "stopped"
        elif delete or pod.failed:
            api.release(pod_id)
            return "deleted"
        else:
            try:
                if api.stop(pod_id).stopped:
                    return "stopped"
            except (WrongState, NotFound):  # it has changed its state just now
                pass
        world.sleep(PAUSE)
    raise WrongState(
        f"pod {pod_id} does not stop", "it is still billed: stop it in RunPod's console"
    )
