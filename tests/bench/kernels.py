"""``python -m tests.bench.kernels`` checks the fused kernels without a card, and prints tables.

Compiled: the trainer's step of each base on fake tensors, where each launch compiles that kernel for every
architecture instead. Counted: the bytes of the same step. Computed: norm, rotation and MLP of small models, and whole training steps of them, under
Triton's interpreter, against transformers' own. It needs triton and the extra ``fused``, but no card. It ends
with 1 if a kernel does not compile, or a norm, rotation or MLP differs.
"""

import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch

from tests.bench import fake_card, interpreted
from tests.bench.counted import BASES, HOW, RANK, TOKENS, config_of
from trainer.contract.command import libraries

# Liger starts other kernels on the second ones.
ARCHITECTURES = {"ampere_ada": (80, 86, 89, 90), "blackwell": (100, 120)}


class Compiler:
    """Compiles each launch for the architectures of a family; ``done`` counts shapes, ``failed`` has errors."""

    def __init__(self) -> None:
        self.done: Counter[tuple[str, int]] = Counter()
        self.failed: dict[tuple[str, int], str] = {}
        self._seen: set[str] = set()
        self._architecture = 0

    @contextmanager
    def within(self, model: Any, family: str) -> Iterator[None]:
        """The context of one step of ``model``, with Liger's and TRL's kernels."""
        from triton.runtime import driver
        from triton.runtime.jit import JITFunction

        from trainer.loop.fused import Fused

        plain = JITFunction.run

        def launch(function: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
            self._compile(plain, function, args, named, family)

        driver.set_active(self)
        with (
            mock.patch.object(JITFunction, "run", launch),
            mock.patch("trl.kernels.chunked_logprob._use_triton", return_value=True),
            Fused(model),
            mock.patch("liger_kernel.ops.swiglu.infer_device_arch", return_value=family),
        ):
            yield

    def _compile(self, run: Any, function: Any, args: Any, named: Any, family: str) -> None:
        from triton.runtime.jit import MockTensor

        name = f"{function.__module__.partition('.')[0]}: {function.__name__.strip('_')}"
        key = f"{name} {[getattr(x, 'dtype', x) for x in args]} {named} {family}"
        if key in self._seen:
            return
        self._seen.add(key)
        typed = [MockTensor(x.dtype) if isinstance(x, torch.Tensor) else x for x in args]
        for self._architecture in ARCHITECTURES.get(family, ()):
            try:
                made = run(function, *typed, grid=(1,), warmup=True, **named)
                self.done[name, self._architecture] += bool(made.asm["cubin"])
            except Exception as error:  # noqa: BLE001 - a line of the table
                self.failed[name, self._architecture] = f"{type(error).__name__}: {error}"

    # What Triton asks a driver for: it keeps what it compiled by device.
    def get_current_device(self) -> int:
        return self._architecture

    def get_current_stream(self, _device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._architecture, 32)

    def table(self) -> list[str]:
        every = [each for family in ARCHITECTURES.values() for each in family]
        lines = [
            f"| kernel, and shapes that compiled | {' | '.join(f'sm_{each}' for each in every)} |",
            f"|{' --- |' * (1 + len(every))}",
        ]
        for name in sorted({name for name, _ in [*self.done, *self.failed]}):
            cells = [self.failed.get((name, x)) or str(self.done[name, x]) for x in every]
            lines.append(f"| {' | '.join([name, *cells])} |")
        return lines


def compiled() -> bool:
    found = Compiler()
    for family in ARCHITECTURES:
        for base in BASES:
            fake_card.step(
                config_of(base, layers=2),
                precision="bf16",
                every=2,
                tokens=TOKENS,
                rank=RANK,
                within=partial(found.within, family=family),
            )
    print("\n".join(found.table()), end="\n\n", flush=True)
    return bool(found.done) and not found.failed


def memory() -> None:
    """Print the bytes of a step as ``tests.bench.counted`` counts them, with fused kernels that are not compiled."""
    print("| base | layers recomputed | saved, GB | peak, GB |")
    print(f"|{' --- |' * 4}")
    for base in BASES:
        for every in (0, 1):
            found = fake_card.step(
                config_of(base),
                precision="bf16",
                every=every,
                tokens=TOKENS,
                rank=RANK,
                within=partial(Compiler().within, family="none"),
            )
            cells = base, HOW[every], f"{found.saved / 1e9:.2f}", f"{found.peak / 1e9:.2f}"
            print(f"| {' | '.join(cells)} |", flush=True)
    print()


if __name__ == "__main__":
    libraries.prepare_environment()
    libraries.import_bitsandbytes()
    warnings.simplefilter("ignore")
    # Triton reads the variable when a kernel is defined.
    command = [sys.executable, "-m", interpreted.__name__]
    good = compiled()
    memory()
    ended = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, check=False)
    sys.exit(ended.returncode or not good)
