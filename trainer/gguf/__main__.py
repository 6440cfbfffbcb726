"""``python -m trainer.gguf``: a process with llama.cpp's server, which ends when its stdin closes.

A process apart from torch: each has its threads and its OpenMP. It prints its address.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--lora", type=Path)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args(argv)
    import xllamacpp  # type: ignore[import-untyped]

    values = xllamacpp.CommonParams()
    values.model.path = str(options.model)
    values.n_ctx = options.context * options.slots
    values.n_parallel = options.slots
    values.cpuparams.n_threads = values.cpuparams_batch.n_threads = options.threads
    values.swa_full = True  # else a window's layers compute the whole prompt again for each token
    values.warmup = values.ui = values.endpoint_slots = False
    values.cache_ram_mib = 0
    values.verbosity = 1  # errors
    if options.lora:
        adapter = xllamacpp.CommonAdapterLoraInfo(str(options.lora), 1.0)
        values.lora_adapters = [adapter]
    server = xllamacpp.Server(values)  # it serves for as long as this object lives
    print(server.listening_address, flush=True)
    while os.read(sys.stdin.fileno(), 1):
        pass
    # Its threads may be in a request.
    os._exit(0)


if __name__ == "__main__":
    main()
