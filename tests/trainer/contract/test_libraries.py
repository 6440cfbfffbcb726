import os
import sys

from trainer.contract import libraries


def test_the_environment_is_a_default(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    libraries.prepare_environment()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_one_card_is_seen_unless_they_are_to_be_counted(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    libraries.prepare_environment(one_card=False)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    libraries.prepare_environment()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_bitsandbytes_asks_no_hub(monkeypatch):
    before = sys.modules.get("kernels")
    libraries.import_bitsandbytes()
    assert sys.modules.get("kernels") is before
    assert "bitsandbytes" in sys.modules
