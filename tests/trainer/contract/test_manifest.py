import json
import struct

import pytest

from trainer.contract.command.errors import NotFound, ResultRejected
from trainer.contract.manifest import NAME, Manifest, ReloadProof, hash_files, load, verify

PREFIX = "base_model.model.layers.0.q"


def safetensors(tensors):
    header, data = {}, b""
    for name, shape in tensors.items():
        size = 4 * shape[0] * shape[1]
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + size],
        }
        data += bytes(size)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = {f"{PREFIX}.lora_A.weight": [2, 8], f"{PREFIX}.lora_B.weight": [4, 2]}


def make(folder, weights=None, *, rank=2):
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(weights or safetensors(GOOD))
    (adapter / "adapter_config.json").write_text(json.dumps({"r": rank}))
    (folder / "loss.png").write_bytes(b"png")
    seal(folder)


def seal(folder):
    manifest = Manifest(
        complete=True,
        created="2026-01-01T00:00:00Z",
        files=hash_files(folder, ["adapter", "loss.png"]),
        job_hash="j",
        data_sha256="d",
        base_model="m",
        revision=None,
        template_sha256="t",
        versions={"torch": "1"},
        device="cpu",
        precision="fp32",
        seed=0,
        metrics={"loss": 1.0},
        reload_proof=ReloadProof(equal=True, max_abs_diff=0.0, base_max_abs_diff=0.5, rows=1),
    )
    manifest.write(folder / NAME)
    return manifest


def test_a_whole_result_passes(tmp_path):
    make(tmp_path)
    found = verify(tmp_path)
    assert found == load(tmp_path / NAME)
    assert set(found.files) == {
        "adapter/adapter_model.safetensors",
        "adapter/adapter_config.json",
        "loss.png",
    }
    assert not list(tmp_path.glob(".*"))


def change(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda f: change(f / "loss.png"), "loss.png: SHA-256 differs"),
        (lambda f: (f / "loss.png").write_bytes(b"longer"), "loss.png: size differs"),
        (lambda f: (f / "loss.png").unlink(), "loss.png: is missing"),
        (lambda f: change(f / "adapter/adapter_model.safetensors"), "SHA-256 differs"),
        (lambda f: (f / "adapter/extra.py").write_text("x"), "extra.py: is not in the manifest"),
    ],
)
def test_a_changed_result_is_rejected(tmp_path, tamper, words):
    make(tmp_path)
    tamper(tmp_path)
    with pytest.raises(ResultRejected) as caught:
        verify(tmp_path)
    assert words in "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"1234", "shorter than its header"),
        (struct.pack("<Q", 2**60) + b"{}", "shorter than its header"),
        (safetensors(GOOD)[:-4], "cut"),
        (safetensors(GOOD) + b"more", "has more"),
        (struct.pack("<Q", 2) + b"[]", "not an object"),
        (struct.pack("<Q", 2) + b"{}", "holds no tensor"),
        (safetensors({f"{PREFIX}.lora_A.weight": [2, 8]}), "no partner"),
        (safetensors(GOOD | {"embed.weight": [2, 2]}), "not part of a LoRA adapter"),
        (safetensors(GOOD | {f"{PREFIX}.lora_A.weight": [3, 8]}), "not of rank 2"),
    ],
)
def test_an_adapter_that_is_not_one_is_rejected(tmp_path, weights, words):
    make(tmp_path, weights)
    with pytest.raises(ResultRejected) as caught:
        verify(tmp_path)
    assert words in "\n".join(caught.value.faults)


def test_a_manifest_without_weights_or_with_foreign_paths_is_rejected(tmp_path):
    make(tmp_path)
    path = tmp_path / NAME
    value = json.loads(path.read_text())
    sealed = value["files"].pop("adapter/adapter_model.safetensors")
    path.write_text(json.dumps(value))
    with pytest.raises(ResultRejected):
        verify(tmp_path)
    value["files"]["adapter/adapter_model.safetensors"] = sealed
    for name in ("../other", "/etc/hostname"):
        path.write_text(json.dumps(value | {"files": value["files"] | {name: sealed}}))
        with pytest.raises(ResultRejected) as caught:
            verify(tmp_path)
        assert "outside" in caught.value.faults[0]


def test_no_manifest_and_a_torn_one(tmp_path):
    with pytest.raises(NotFound):
        verify(tmp_path)
    make(tmp_path)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResultRejected, match="manifest"):
        verify(tmp_path)
