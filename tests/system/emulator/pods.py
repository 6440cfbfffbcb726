"""All pods of the account: what each call does to them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.system.emulator import faults, validate
from tests.system.emulator.hosts import CARDS
from tests.system.emulator.life import Life
from tests.system.emulator.pod import Pod
from tests.system.emulator.problems import HOST_FULL, Problem
from tests.system.emulator.site import Site

RESETS = {"image", "args", "entrypoint", "cmd", "env", "ports", "disk", "registry", "mounts"}


class Pods:
    """Every pod ever made here, by id; iterating gives those not yet deleted."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.all: dict[str, Pod] = {}

    def __iter__(self) -> Iterator[Pod]:
        return (pod for pod in list(self.all.values()) if pod.status != "TERMINATED")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, key: str) -> Pod:
        return self.all[key]

    def named(self, name: str) -> list[Pod]:
        return [pod for pod in self if pod.name == name]

    def only(self) -> Pod:
        """The one pod there is, deleted or not; ValueError when there are more or fewer."""
        (pod,) = self.all.values()
        return pod

    def create(self, document: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
        wanted = validate.body(validate.CreatePod, document)
        self._check(wanted)
        host = self._site.catalog.place(self._near_volume(wanted))
        pod = Pod(self._site, wanted, host, self._site.script.troubles(facts))
        early = pod.trouble(faults.Early404)
        pod.early_gets = early.gets if early else 0
        self.all[pod.id] = pod
        self._site.account.pod_keys[pod.key] = pod.id
        pod.bill(running=True)
        told = pod.view()
        pod.life = Life(self._site, pod, None)
        return told

    def find(self, key: str) -> Pod:
        pod = self.all.get(key)
        if pod is None or pod.status == "TERMINATED":
            raise Problem(404, "pod not found")
        return pod

    def get(self, key: str) -> dict[str, Any]:
        pod = self.find(key)
        if pod.early_gets:
            pod.early_gets -= 1
            raise Problem(404, "pod not found")
        return pod.view()

    def update(self, key: str, document: Any) -> dict[str, Any]:
        wanted = validate.body(validate.UpdatePod, document)
        pod = self.find(key)
        changes = wanted.model_dump(include=wanted.model_fields_set)
        if "templateId" in changes:
            raise Problem(404, "template not found")
        before, after = pod.settings.mounts, wanted.mounts
        if after.model_fields_set:
            if after.model_fields_set != before.model_fields_set:
                raise Problem(400, "the kind of mount is fixed at create")
        else:
            changes.pop("mounts", None)
        with pod.lock:
            pod.name = changes.pop("name", pod.name)
            pod.locked = changes.pop("locked", pod.locked)
            changes.pop("globalNetworking", None)
            kept = {name: getattr(wanted, name) for name in changes}
            pod.settings = pod.settings.model_copy(update=kept)
            if kept.keys() & RESETS and pod.status == "RUNNING":
                pod.bill(running=True)
                pod.life.restart()
        return pod.view()

    def act(self, key: str, document: Any) -> dict[str, Any] | None:
        """Carries an action out; None where the pod is gone afterwards."""
        action = validate.body(validate.PodAction, document).action
        pod = self.find(key)
        with pod.lock:
            if action not in pod.actions():
                raise Problem(409, f"action '{action}' is not valid for a pod that is {pod.status}")
            if action == "terminate":
                self.delete(key)
                return None
            if action == "stop":
                self._stop(pod)
            elif action == "restart":
                pod.life.restart()
            else:
                self._start(pod)
            return pod.view()

    def delete(self, key: str) -> None:
        pod = self.find(key)
        slow = pod.trouble(faults.SlowRelease)
        if slow:
            self._site.loop.call_later(slow.seconds, self.release, pod)
        else:
            self.release(pod)

    def release(self, pod: Pod) -> None:
        """Ends the pod, its volume and its bill."""
        with pod.lock:
            if pod.status == "TERMINATED":
                return
            if pod.status != "EXITED":
                self._site.catalog.give_back(pod.host, pod.count)
            pod.status = "TERMINATED"
            self._site.billing.meter(pod.id, gpu=0.0, disk=0.0)
            pod.life.end(wipe=True)

    def strike(self, pod: Pod, trouble: faults.Fault) -> None:
        """Lets a trouble befall a pod there is.

        Raises:
            TypeError: a fault of requests, not of pods.
        """
        if not isinstance(trouble, faults.Trouble):
            raise TypeError(f"{type(trouble).__name__} is for the script, not for a pod")
        with pod.lock:
            pod.troubles.append(trouble)
            pod.pending.append(trouble)
        pod.life.strike()

    def _stop(self, pod: Pod) -> None:
        pod.status = "EXITED"
        pod.bill(running=False)
        self._site.catalog.give_back(pod.host, pod.count)
        pod.life.end(wipe=False)

    def _start(self, pod: Pod) -> None:
        if pod.status == "EXITED" and not self._site.catalog.take(pod.host, pod.count):
            raise Problem(400, HOST_FULL)
        if pod.status == "ERROR":
            pod.life.end(wipe=False)
        stale, link = pod.trouble(faults.StalePort), pod.life.last_port
        if stale and link:
            pod.old_port = (self._site.clock.now() + stale.seconds, link)
        pod.status = "PROVISIONING"
        pod.started = None
        pod.bill(running=True)
        pod.life = Life(self._site, pod, pod.life)

    def _near_volume(self, wanted: validate.CreatePod) -> validate.CreatePod:
        """A pod with a network volume can only live where the volume is."""
        network = wanted.mounts.network
        if not network:
            return wanted
        centre = self._site.account.volume(network[0].volumeId)["dataCenter"]
        if wanted.dataCenterIds and centre not in wanted.dataCenterIds:
            raise Problem(400, "the network volume is in another data center")
        return wanted.model_copy(update={"dataCenterIds": [centre]})

    def _check(self, wanted: validate.CreatePod) -> None:
        if wanted.templateId:
            raise Problem(404, "template not found")
        if not wanted.image:
            raise validate.invalid("$", "missing property 'image'")
        if (wanted.gpu is None) == (wanted.cpu is None):
            raise Problem(400, "exactly one of gpu or cpu must be set")
        if wanted.gpu is None:
            raise Problem(400, "no CPU pods here: this emulator has hosts with GPUs only")
        if wanted.gpu.id not in CARDS:
            raise Problem(400, f"GPU type '{wanted.gpu.id}' does not exist")
        if wanted.gpu.allowedCudaVersions and wanted.gpu.minCudaVersion:
            raise Problem(400, "allowedCudaVersions and minCudaVersion are mutually exclusive")
        mounts = wanted.mounts
        if mounts.persistent and mounts.network:
            raise Problem(400, "mounts.persistent and mounts.network are mutually exclusive")
        if len(wanted.env) > 50:
            raise Problem(400, "at most 50 environment variables")
        if wanted.registry is not None and wanted.registry not in self._site.account.registries:
            raise Problem(400, "registry credential not found")
        for port in wanted.ports:
            number, _, protocol = port.partition("/")
            if not number.isdecimal() or protocol not in {"tcp", "udp", "http"}:
                raise Problem(400, f"port '{port}' is not of the form number/protocol")
