"""Runs model-written code apart from everything else; see ``client.Sandbox``."""

from datagen.sandbox.client import Sandbox, Session
from datagen.sandbox.messages import LEVELS, CellLimits, CellResult, Hook, Level

__all__ = ["LEVELS", "CellLimits", "CellResult", "Hook", "Level", "Sandbox", "Session"]
