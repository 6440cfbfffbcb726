"""Questions made of programs; see `ask`."""

from datagen.questions.procedural.source import Tally, ask

__all__ = ["Tally", "ask"]
