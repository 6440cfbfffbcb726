import logging
import os
import warnings

from trainer import library_log


def test_chatter_goes_to_the_log_and_comes_back(tmp_path, capfd):
    log = tmp_path / "train.log"
    with library_log.library_output_to(log):
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


def test_torch_gets_all_cpus_unless_told_otherwise(monkeypatch):
    import torch

    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    library_log.use_all_threads()
    assert given == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    library_log.use_all_threads()
    assert given == [len(os.sched_getaffinity(0))]
