"""The objects that every machine needs: world, view, settings, interrupts."""

from dataclasses import dataclass, field
from pathlib import Path

from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import Interrupts, World


@dataclass(frozen=True)
class Context:
    """``interrupts`` counts Ctrl-C; look at ``interrupted`` while waiting.

    ``start_stopped``: a stopped pod may be started. ``stop_file``: a file that exists while another
    process waits for the run's lock to stop the run.
    """

    world: World
    view: View
    settings: Settings = field(default_factory=Settings)
    interrupts: Interrupts = field(default_factory=Interrupts)
    start_stopped: bool = False
    stop_file: Path | None = None

    @property
    def stop_requested(self) -> bool:
        """Whether another process waits to stop the run."""
        return self.stop_file is not None and self.world.is_there(self.stop_file)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until Ctrl-C."""
        before = self.interrupts.count
        self.world.sleep(seconds, stop=lambda: self.interrupts.count > before)

    @property
    def interrupted(self) -> bool:
        """Whether to stop here, after Ctrl-C or because another process stops the run."""
        return self.interrupts.count > 0 or self.stop_requested
