"""The engine, the image and the emulator of the system tests, for benches that need them."""

from tests.system.conftest import context, engine, image_settings, laptop, runpod, sft_image, story

__all__ = ["context", "engine", "image_settings", "laptop", "runpod", "sft_image", "story"]
