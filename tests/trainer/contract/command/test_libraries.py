import os
import subprocess
import sys

from trainer.contract.command import libraries


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


def test_the_cards_allocator_takes_the_setting_and_the_users_own_comes_first(monkeypatch):
    """As torch itself reads it when it is imported."""
    program = (
        "from trainer.contract.command import libraries\n"
        "libraries.prepare_environment()\n"
        "import torch\n"
        "print(torch._C._accelerator_getAllocatorSettings())\n"
    )

    def told():
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    assert told() == "expandable_segments:True"
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "max_split_size_mb:64")
            assert told() == "max_split_size_mb:64"


def test_bitsandbytes_asks_no_hub_and_does_not_load_torchs_compiler():
    """The judge is torch: its own ``torch.compile`` is back afterwards, and its compiler was not imported."""
    program = (
        "import sys, torch\n"
        "from trainer.contract.command import libraries\n"
        "compiler = torch.compile\n"
        "libraries.import_bitsandbytes()\n"
        "assert torch.compile is compiler\n"
        "print(*(name in sys.modules for name in ('bitsandbytes', 'kernels', 'torch._inductor.compile_fx')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "False"]
