"""Writes ``q4_k_m`` from llama.cpp's converter, with llama.cpp's own function for the rows of a tensor.

The package ``xllamacpp`` exports that function (``ggml_quantize_chunk``), and not ``llama_model_quantize``, which also
chooses the type of each tensor. That choice is here, and equals llama.cpp's for dense models of up to 79 layers.
"""

import ctypes
import importlib.util
import re
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

ENGINE = "xllamacpp"
BLOCK = 256  # weights of a row that are quantised together, in Q4_K and Q6_K
SHORT = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}  # the type where BLOCK does not divide the row
TENSOR = re.compile(
    r"(?:blk\.(\d+)\.)?"
    r"(token_embd|output|attn_(?:q|k|v|qkv|output)|ffn_(?:up|gate|down)(?:_exps|_shexp)?)\.weight"
)
SENSITIVE = ("attn_v", "attn_qkv", "ffn_down")  # some layers of these get more bits


def tensor_type(name: str, columns: int, *, layers: int, tied: bool) -> str | None:
    """Return the type of the weight that llama.cpp calls ``name``; None for one that stays in bf16.

    ``tied``: the token embedding is also the output's weight.
    """
    found = TENSOR.fullmatch(name)
    if found is None:
        return None
    layer, part = found.groups()
    more = part == "output" or (part == "token_embd" and tied)
    if part.startswith(SENSITIVE):
        past = int(layer) - layers // 8
        more = past < 0 or int(layer) >= 7 * layers // 8 or past % 3 == 2
    kind = "Q6_K" if more else "Q4_K"
    return kind if columns % BLOCK == 0 else SHORT[kind]


def quantising(kept: Any) -> Any:
    """Return the converter's class ``kept``, changed to write q4_k_m in place of bf16."""
    gguf = import_module("gguf")
    types, quants = gguf.GGMLQuantizationType, gguf.quants
    for kind in (types.Q4_K, types.Q6_K):
        # Its package reads these two types; it has no function to write them.
        write = partial(_quantize_blocks, int(kind), gguf.GGML_QUANT_SIZES[kind][1])
        getattr(quants, kind.name).quantize_blocks = staticmethod(write)

    class Quantised(kept):
        model_arch = kept.model_arch

        def prepare_tensors(self) -> None:
            held: list[tuple[str, Any, Any]] = []  # not read yet: the writer reads them one by one

            def hold(name: str, data: Any, raw_dtype: Any = None) -> None:
                held.append((name, data, raw_dtype))

            add, self.gguf_writer.add_tensor = self.gguf_writer.add_tensor, hold
            super().prepare_tensors()
            self.gguf_writer.add_tensor = add
            tied = not any(name == "output.weight" for name, *_ in held)
            for name, data, kind in held:
                found = kind == types.BF16 and tensor_type(
                    name, data.shape[-1] // 2, layers=self.block_count, tied=tied
                )
                if found:
                    weights = quants.dequantize(data, types.BF16)
                    add(name, quants.quantize(weights, types[found]), raw_dtype=types[found])
                else:
                    add(name, data, raw_dtype=kind)
            self.ftype = gguf.LlamaFileType.MOSTLY_Q4_K_M

    return Quantised


def _quantize_blocks(kind: int, size: int, blocks: Any) -> Any:
    """Return the blocks of ``BLOCK`` numbers as ``size`` bytes each."""
    import numpy as np

    blocks = np.ascontiguousarray(blocks, np.float32)
    out = np.empty((len(blocks), size), np.uint8)
    _quantize_chunk()(kind, blocks.ctypes.data, out.ctypes.data, 0, len(blocks), BLOCK, None)
    return out


@cache
def _quantize_chunk() -> Any:
    spec = importlib.util.find_spec(ENGINE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (library,) = Path(spec.submodule_search_locations[0]).glob(f"{ENGINE}*.so")
    found = ctypes.CDLL(str(library)).ggml_quantize_chunk
    whole, place = ctypes.c_int64, ctypes.c_void_p
    found.argtypes = [ctypes.c_int, place, place, whole, whole, whole, place]
    found.restype = ctypes.c_size_t
    return found
