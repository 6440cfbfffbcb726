"""The small random model of the trainer's tests."""

from tests.trainer.conftest import base_model

__all__ = ["base_model"]
