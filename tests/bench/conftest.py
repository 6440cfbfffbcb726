"""The engine, the image and the emulator of the system tests, for benches that need them."""

from tests.system.conftest import engine, image_settings, laptop, runpod, scene, sft_image, story

__all__ = ["engine", "image_settings", "laptop", "runpod", "scene", "sft_image", "story"]
