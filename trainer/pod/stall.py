"""Whether the trainer makes progress, judged by its events, the GPU's use and the time limits."""

from trainer.contract import events
from trainer.contract.pod import Limits

# A card that only waits for the next batch shows more than this in percent.
IDLE_PERCENT = 5
LOADING, TRAINING = "model", "train"
CLOSING = frozenset({"save", "proof"})


class StallDetector:
    """Takes events and GPU readings; ``reason`` returns what has taken too long."""

    def __init__(self, limits: Limits, *, loaded: bool, now: float) -> None:
        self._limits, self._loaded = limits, loaded
        self._moved = self._busy = now
        self.phase = "start"
        self.step = 0

    @property
    def closing(self) -> bool:
        """All steps are done: the result is being saved and proved."""
        return self.phase in CLOSING

    def note(self, event: events.Event, now: float) -> None:
        if isinstance(event, events.Phase):
            self.phase, self._moved, self._busy = event.name, now, now
        elif isinstance(event, (events.Step, events.Eval, events.Checkpoint)):
            self._moved = now
        if isinstance(event, (events.Step, events.Checkpoint)):
            self.step = event.step

    def note_gpu(self, percent: int | None, now: float) -> None:
        """None: the card's use is unknown; the card then counts as busy."""
        if percent is None or percent > IDLE_PERCENT:
            self._busy = now

    def reason(self, now: float) -> str | None:
        still, limits = now - self._moved, self._limits
        if self.phase == TRAINING:
            if still > limits.no_step:
                return f"no step for {still:.0f} s (after step {self.step})"
            if (idle := now - self._busy) > limits.idle_gpu:
                return f"the GPU has been idle for {idle:.0f} s (after step {self.step})"
            return None
        most = limits.load if self.closing else limits.download
        if self.phase == LOADING:
            most = limits.load if self._loaded else limits.load + limits.download
        return f"phase {self.phase!r} has taken {still:.0f} s" if still > most else None
