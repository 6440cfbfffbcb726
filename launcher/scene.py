"""What every machine works with."""

from dataclasses import dataclass, field

from launcher.settings import Settings
from launcher.view import View
from launcher.world import Interrupts, World


@dataclass(frozen=True)
class Scene:
    """``interrupts`` counts Ctrl-C; look at it while waiting. ``wake``: a stopped pod may be started."""

    world: World
    view: View
    settings: Settings = field(default_factory=Settings)
    interrupts: Interrupts = field(default_factory=Interrupts)
    wake: bool = False
