"""What the parts of the emulator share."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.emulator.account import Account
from tests.system.emulator.billing import Billing
from tests.system.emulator.catalog import Catalog
from tests.system.emulator.clock import Clock
from tests.system.emulator.faults import Right
from tests.system.emulator.script import Script
from tests.system.engine import Engine

OWNER = "sft.emulator.process"
"""Label on every container and volume: the process that made it."""
NAME = "sft.emulator.name"
"""Label on every container and volume: the emulator it belongs to."""


@dataclass
class Site:
    engine: Engine
    clock: Clock
    catalog: Catalog
    billing: Billing
    folder: Path
    """For files that pods mount."""
    labels: dict[str, str]
    grace: float
    """Seconds between SIGTERM and SIGKILL when a pod is stopped."""
    pod_rights: frozenset[Right]
    account: Account = field(default_factory=Account)
    script: Script = field(default_factory=Script)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    inner_url: str = ""
    """Where a pod finds the API."""
