"""q4_k_m, judged by llama.cpp's ``llama_model_quantize`` (of the npm package @node-llama-cpp/linux-x64 3.22.1).

The hashes are of the tensors that it wrote from the bf16 files of these models.
"""

import hashlib
import math
import platform
from importlib import import_module

import pytest
import torch

from trainer.gguf import converter


def numbers(shape, seed):
    """The same on every machine, and spread over the whole range."""
    at = torch.arange(math.prod(shape), dtype=torch.int64)
    return ((at * 2654435761 + seed * 40503) % 65521 / 65521 - 0.5).reshape(shape)


def save_model(folder, tokenizer, *, tied):
    """A model with rows of 256 and of 288, and enough layers for each case of the choice."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=288,
        num_hidden_layers=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config)
    for seed, parameter in enumerate(model.parameters()):
        parameter.data = numbers(parameter.shape, seed)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def digest(file):
    """SHA-256 of a file's tensors, each as name, type and bytes."""
    tensors = import_module("gguf").GGUFReader(file).tensors
    found = hashlib.sha256()
    for tensor in sorted(tensors, key=lambda one: one.name):
        found.update(f"{tensor.name} {tensor.tensor_type.name} ".encode() + tensor.data.tobytes())
    return found.hexdigest()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors round differently")
@pytest.mark.parametrize(
    ("tied", "wanted"),
    [
        (True, "da4b0435bca7e4b46847b921268c12dc261ccec620501724f844f6aac8874e45"),
        (False, "c3dcbf892fa1ae1e1f0b267ac5c6b8bd8d5614a48a2e6c35d1c8ef5b96c48ec9"),
    ],
)
def test_the_tensors_are_those_of_llama_model_quantize(tied, wanted, tmp_path, tokenizer_of):
    save_model(tmp_path / "model", tokenizer_of("llama3_2"), tied=tied)
    converter.convert(tmp_path / "model", tmp_path / "x.gguf", "q4_k_m", pre="llama-bpe")
    assert digest(tmp_path / "x.gguf") == wanted
