"""Runs model-written code apart from everything else; see ``client.Sandbox``."""

from datagen.sandbox.client import Sandbox, Session
from datagen.sandbox.messages import LEVELS, CellResult, Hook, Level, Limits

__all__ = ["LEVELS", "CellResult", "Hook", "Level", "Limits", "Sandbox", "Session"]
