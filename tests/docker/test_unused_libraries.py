"""What the image deletes of bitsandbytes; which library it loads is in the tables of its documentation."""

import importlib.util
from pathlib import Path

import pytest

from trainer.contract.command.libraries import import_bitsandbytes

SCRIPT = Path(__file__).parents[2] / "docker" / "unused_libraries.py"
CPU = "libbitsandbytes_cpu.so"


@pytest.fixture(scope="module")
def script():
    import_bitsandbytes()
    spec = importlib.util.spec_from_file_location("unused_libraries", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Of 12.9 there is no library: bitsandbytes takes the next lower one.
@pytest.mark.parametrize(
    ("cuda", "loaded"), [((13, 0), "130"), ((12, 8), "128"), ((12, 6), "126"), ((12, 9), "128")]
)
def test_the_library_for_the_cuda_of_torch_stays(script, cuda, loaded):
    assert script.needed(cuda) == {CPU, f"libbitsandbytes_cuda{loaded}.so"}


def test_without_cuda_only_the_one_for_a_cpu_stays(script, monkeypatch, tmp_path, capsys):
    for name in (CPU, "libbitsandbytes_cuda130.so", "libbitsandbytes_rocm72.so", "functional.py"):
        (tmp_path / name).write_bytes(bytes(10**6))
    monkeypatch.setattr(script, "PACKAGE_DIR", tmp_path)
    monkeypatch.setattr(script, "get_cuda_version_tuple", lambda: None)
    script.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["functional.py", CPU]
    assert capsys.readouterr().out == "deleted 2 of 3 libraries of bitsandbytes: 2 MB\n"


def test_the_build_ends_without_the_library_that_it_needs(script, monkeypatch, tmp_path):
    (tmp_path / CPU).touch()
    monkeypatch.setattr(script, "PACKAGE_DIR", tmp_path)
    monkeypatch.setattr(script, "get_cuda_version_tuple", lambda: (13, 0))
    with pytest.raises(SystemExit, match="cuda130"):
        script.main()
    assert (tmp_path / CPU).exists()
