"""One pod as the API knows it: its settings, state, and the view that GET returns."""

import secrets
import shlex
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from tests.system.emulator import validate
from tests.system.emulator.billing import disk_rate
from tests.system.emulator.clock import stamp
from tests.system.emulator.faults import Trouble
from tests.system.emulator.hosts import CARDS, Host
from tests.system.emulator.link import Link
from tests.system.emulator.logs import Log
from tests.system.emulator.site import Site

if TYPE_CHECKING:
    from tests.system.emulator.life import Life

ACTIONS = {
    "PROVISIONING": ("stop", "terminate"),
    "STARTING": ("stop", "terminate"),
    "RUNNING": ("stop", "restart", "terminate"),
    "EXITED": ("start", "terminate"),
    "ERROR": ("start", "terminate"),
    "TERMINATED": (),
}
Kind = TypeVar("Kind", bound=Trouble)


class Pod:
    """State is written under `lock`, by API calls and by the pod's own `life`."""

    def __init__(
        self, site: Site, wanted: validate.CreatePod, host: Host, troubles: list[Trouble]
    ) -> None:
        assert wanted.gpu is not None
        self.site = site
        self.id = secrets.token_hex(7)
        self.key = f"rpp_{secrets.token_hex(16)}"
        self.settings: validate.Container = wanted
        self.name = wanted.name
        self.cloud = wanted.cloud
        self.gpu, self.count = wanted.gpu.id, wanted.gpu.count
        self.start_ssh = wanted.startSsh
        self.host = host
        self.status = "PROVISIONING"
        self.locked = False
        self.created = site.clock.now()
        self.started: float | None = None
        self.restarts = 0
        self.log = Log(site.clock)
        self.links: dict[int, Link] = {}
        self.old_port: tuple[float, int] | None = None
        """Until which instant (monotonic) which earlier port is still reported for 22."""
        self.rtt = 0.0
        self.troubles = troubles
        self.pending = list(troubles)
        """Troubles that strike while it runs, not yet scheduled."""
        self.early_gets = 0
        self.life: Life
        self.lock = RLock()

    def trouble(self, kind: type[Kind]) -> Kind | None:
        return next((one for one in reversed(self.troubles) if isinstance(one, kind)), None)

    def rate(self) -> float:
        """Dollars an hour for the cards."""
        _, _, secure, community, _ = CARDS[self.gpu]
        return self.count * (secure if self.cloud == "SECURE" else community)

    def bill(self, *, running: bool) -> None:
        """Sets the meter: cards and both disks while it runs, the volume while it is stopped."""
        persistent = self.settings.mounts.persistent
        self.site.billing.meter(
            self.id,
            gpu=self.rate() if running else 0.0,
            disk=disk_rate(
                container=self.settings.disk,
                volume=persistent.size if persistent else 0,
                running=running,
            ),
        )

    def tell(self, status: str) -> None:
        with self.lock:
            self.status = status

    def actions(self) -> list[str]:
        barred = {"stop", "restart"} if self.locked else set()
        return [action for action in ACTIONS[self.status] if action not in barred]

    def environment(self) -> dict[str, str]:
        """What PID 1 sees: the user's variables and the platform's."""
        given = dict(self.settings.env)
        if self.start_ssh and self.site.account.ssh_keys:
            given.setdefault("PUBLIC_KEY", "\n".join(self.site.account.ssh_keys))
        network = self.settings.mounts.network
        return {
            **given,
            **({"RUNPOD_VOLUME_ID": network[0].volumeId} if network else {}),
            "RUNPOD_POD_ID": self.id,
            "RUNPOD_API_KEY": self.key,
            "RUNPOD_API_BASE_URL": self.site.inner_url,
            "RUNPOD_DC_ID": self.host.centre,
            "RUNPOD_POD_HOSTNAME": f"{self.id}-64411eb2",
            "RUNPOD_GPU_COUNT": str(self.count),
            "RUNPOD_CPU_COUNT": str(self.count * self.host.vcpus),
            "RUNPOD_PUBLIC_IP": "127.0.0.1",
            **{f"RUNPOD_TCP_PORT_{port}": str(link.port) for port, link in self.links.items()},
        }

    def view(self) -> dict[str, Any]:
        """The pod as GET returns it; `env` in clear, as the real API does."""
        with self.lock:
            settings = self.settings
            running = self.status == "RUNNING"
            over = self.status in {"EXITED", "TERMINATED"}
            return {
                "id": self.id,
                "name": self.name,
                "status": self.status,
                "actions": self.actions(),
                "image": settings.image,
                "args": settings.args or shlex.join(settings.entrypoint + settings.cmd),
                "entrypoint": settings.entrypoint,
                "cmd": settings.cmd,
                "disk": settings.disk,
                "mounts": settings.mounts.model_dump(exclude_none=True),
                "ports": settings.ports,
                "env": settings.env,
                "registry": settings.registry,
                "gpu": {
                    "id": self.gpu,
                    "count": self.count,
                    "vcpuCount": self.count * self.host.vcpus,
                    "memory": self.count * self.host.ram,
                },
                "cloud": self.cloud,
                "dataCenterId": self.host.centre,
                "cudaVersion": self.host.cuda,
                "ssh": {"proxy": self._proxy(), "direct": self._direct() if running else None},
                "template": None,
                "cost": 0.0 if over else self.rate(),
                "locked": self.locked,
                "globalNetworking": {"enabled": False},
                "runtime": self._runtime() if running else None,
                "createdAt": stamp(self.created),
                "startedAt": None if self.started is None else stamp(self.started),
            }

    def public(self, port: int) -> int | None:
        """The public port reported for a private one."""
        link = self.links.get(port)
        if port == 22 and self.old_port and self.site.clock.now() < self.old_port[0]:
            return self.old_port[1]
        return link.port if link else None

    def _proxy(self) -> dict[str, Any]:
        user = f"{self.id}-64411eb2"
        return {
            "host": "ssh.runpod.io",
            "port": 22,
            "username": user,
            "command": f"ssh {user}@ssh.runpod.io",
        }

    def _direct(self) -> dict[str, Any] | None:
        port = self.public(22)
        if port is None:
            return None
        command = f"ssh root@127.0.0.1 -p {port}"
        return {"host": "127.0.0.1", "port": port, "username": "root", "command": command}

    def _runtime(self) -> dict[str, Any]:
        uptime = 0.0 if self.started is None else self.site.clock.now() - self.started
        return {
            "uptime": int(uptime),
            "gpus": [{"util": 0, "memoryUtil": 0} for _ in range(self.count)],
            "cpu": {"util": 0},
            "memory": {"util": 0},
            "ports": [
                {"private": port, "public": self.public(port), "type": "tcp", "ip": "127.0.0.1"}
                for port in self.links
            ],
        }
