"""What the image installs, by pyproject.toml's extras."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("cuda", "fused"), [("13.0", True), ("12.8", True), ("none", False)])
def test_only_an_image_with_cuda_has_fused_kernels(cuda, fused):
    spec = importlib.util.spec_from_file_location("wanted", ROOT / "docker" / "wanted.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = module.wanted(ROOT, cuda=cuda)
    assert ("liger-kernel" in files["train/requirements.txt"]) is fused
    assert "liger-kernel" not in files["datagen/requirements.txt"]
    assert "liger-kernel==" in files["train/pins.txt"]
