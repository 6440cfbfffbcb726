"""Is the trainer getting on? Judged from its events and the GPU, in the time that it is given."""

from trainer.contract import events
from trainer.contract.pod import Limits

# A card that waits for nothing but the next batch shows more than this in percent.
IDLE_PERCENT = 5
LOADING, TRAINING = "model", "train"
CLOSING = frozenset({"save", "proof"})


class Watch:
    """Feed it what is seen; ``verdict`` says what has gone on for too long, if anything has."""

    def __init__(self, limits: Limits, *, loaded: bool, now: float) -> None:
        self._limits = limits
        self._loaded = loaded
        self._moved = now
        self._busy = now
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
        """``None``: there is no card, or it cannot be asked; then nothing is concluded."""
        if percent is None or percent > IDLE_PERCENT:
            self._busy = now

    def verdict(self, now: float) -> str | None:
        still, limits = now - self._moved, self._limits
        if self.phase == TRAINING:
            if still > limits.no_step:
                return f"no step for {still:.0f} s (after step {self.step})"
            if (idle := now - self._busy) > limits.idle_gpu:
                return f"the GPU has been idle for {idle:.0f} s (after step {self.step})"
            return None
        if self.phase == LOADING:
            most = limits.load if self._loaded else limits.load + limits.download
        elif self.closing:
            most = limits.load
        else:
            most = limits.download
        return f"phase {self.phase!r} has taken {still:.0f} s" if still > most else None
