import logging
import os
import sys
import warnings

from trainer import quiet


def test_chatter_goes_to_the_log_and_comes_back(tmp_path, capfd):
    log = tmp_path / "train.log"
    with quiet.chatter_to(log):
        os.write(2, b"from C\n")
        logging.getLogger("library").warning("from logging")
        warnings.warn("from warnings", stacklevel=1)
    os.write(2, b"after\n")
    text = log.read_text()
    assert "from C" in text
    assert "WARNING library: from logging" in text
    assert "from warnings" in text
    assert capfd.readouterr().err.endswith("after\n")
    assert "from C" not in capfd.readouterr().err


def test_the_environment_is_a_default(monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    quiet.prepare_environment()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_torch_gets_all_cpus_unless_told_otherwise(monkeypatch):
    import torch

    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    quiet.use_all_threads()
    assert given == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    quiet.use_all_threads()
    assert given == [len(os.sched_getaffinity(0))]


def test_bitsandbytes_asks_no_hub(monkeypatch):
    before = sys.modules.get("kernels")
    quiet.import_bitsandbytes()
    assert sys.modules.get("kernels") is before
    assert "bitsandbytes" in sys.modules
