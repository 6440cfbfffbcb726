"""What every machine works with."""

from dataclasses import dataclass, field
from pathlib import Path

from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import Interrupts, World


@dataclass(frozen=True)
class Scene:
    """``interrupts`` counts Ctrl-C; look at ``interrupted`` while waiting.

    ``wake``: a stopped pod may be started. ``wish``: there while somebody else, who waits for the run's
    lock, wants to end the run.
    """

    world: World
    view: View
    settings: Settings = field(default_factory=Settings)
    interrupts: Interrupts = field(default_factory=Interrupts)
    wake: bool = False
    wish: Path | None = None

    @property
    def asked_to_let_go(self) -> bool:
        """Whether somebody else waits to end the run."""
        return self.wish is not None and self.world.is_there(self.wish)

    @property
    def interrupted(self) -> bool:
        """Whether to go no further, by Ctrl-C or because somebody else ends the run."""
        return self.interrupts.count > 0 or self.asked_to_let_go
