"""Small tokenizers with real special tokens and real templates, and a random tiny model."""

import os
from pathlib import Path

import pytest

# Both must be set before torch and the hub client are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|finetune_right_pad_id|>",
]
# How Qwen and Llama 3 cut text before they merge bytes.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "You are a helpful assistant. columns: city, year, price\nwhat is the mean of price?",
    'submit(df["price"].mean())\nprint(df.head())\n\n  system user assistant tool think 0123456789',
]


def shipped_template(name: str) -> str:
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


def byte_level_bpe(special: list[str], *, vocab_size: int):
    """A small byte-level BPE, cut as Qwen and Llama 3 cut text, with these special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=special,
            show_progress=False,
        ),
    )
    return backend


def build_tokenizer(family: str):
    """A byte-level BPE with the special tokens, template and post-processor of ``family``."""
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    llama = family == "llama3_2"
    special = LLAMA if llama else QWEN
    backend = byte_level_bpe(special, vocab_size=400)
    if llama:
        # As the real one does: encoding any text puts a BOS in front.
        bos = backend.token_to_id("<|begin_of_text|>")
        backend.post_processor = TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]
        )
    else:
        backend.add_tokens(
            [
                AddedToken(text, special=False, normalized=False)
                for text in ("<tool_call>", "</tool_call>", "<think>", "</think>")
            ]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|eot_id|>" if llama else "<|im_end|>",
        bos_token="<|begin_of_text|>" if llama else None,
        pad_token=None if llama else "<|endoftext|>",
        additional_special_tokens=[text for text in special if "eot" not in text],
        chat_template=CHATML if family == "chatml" else shipped_template(family),
    )


@pytest.fixture(scope="session")
def tokenizer_of():
    """Return a fresh tokenizer of a family: qwen2_5, llama3_2, qwen3, chatml."""
    return build_tokenizer


@pytest.fixture(scope="session")
def base_model(tmp_path_factory):
    """A folder with a random Qwen2 model (0.1M parameters) and a ChatML tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("base")
    tokenizer = build_tokenizer("chatml")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
