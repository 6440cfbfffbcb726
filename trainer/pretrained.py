"""Finds and loads a base model: the tokenizer first, the weights once the data is checked.

Every failure to load a model is a ``ModelUnavailable`` with what to do.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer import out_of_memory
from trainer.attention import of_model
from trainer.attention.kernels import register
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.job import Job
from trainer.contract.sizing.memory import Architecture
from trainer.contract.sizing.shapes import from_config
from trainer.device import CPU, Numerics
from trainer.processes import fsdp

BUNDLED = Path(__file__).resolve().parent
# In this order; never the token that ends a turn, else the model does not learn to stop.
PAD_TOKENS = (
    "<|finetune_right_pad_id|>",
    "<|endoftext|>",
    "<pad>",
    "<|pad|>",
    "[PAD]",
    "<｜▁pad▁｜>",
    "<|fim_pad|>",
    "<|reserved_special_token_0|>",
    "<unk>",
)
# Share of a card's memory that bf16 weights may take, so that activations and adapter still fit.
WEIGHTS_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Source:
    """``name``: the job's; ``place``: a local folder or a hub id.

    ``pin`` sets ``revision`` to the hub's commit, and ``context`` to the most tokens of the model's input.
    """

    name: str
    place: str
    revision: str | None
    context: int | None = None


def find(job: Job) -> Source:
    """Resolve ``job.model``. Raises ``ModelUnavailable`` for a local folder without a model."""
    kind, _, name = job.model.partition(":")
    if kind == "bundled" and name:
        folder = BUNDLED / name / "model"
        if not (folder / "config.json").is_file():
            raise ModelUnavailable(f"no bundled model {name!r}", "bundled:tiny is shipped")
        return Source(job.model, str(folder), None)
    path = Path(job.model).expanduser()
    if path.is_dir():
        if (path / "adapter_config.json").is_file():
            raise ModelUnavailable(
                f"{path} is an adapter, not a base model", "name the model it was trained on"
            )
        if not (path / "config.json").is_file():
            raise ModelUnavailable(f"{path} has no config.json", "name a folder with a model")
        # The adapter names its base by this path, and is loaded from other folders too. A ".." would need the
        # folder that it leaves.
        place = path.resolve() if ".." in path.parts else path.absolute()
        return Source(job.model, str(place), None)
    if path.exists() or path.is_absolute() or job.model.startswith((".", "~")):
        raise ModelUnavailable(
            f"model folder {job.model} does not exist", "check the path, or give a hub id"
        )
    return Source(job.model, job.model, job.revision)


def explain(error: BaseException, source: Source) -> ModelUnavailable:
    """Return the fault, with what to do, for an error of a loader."""
    name = source.name
    kinds: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__ or cause.__context__
    if "GatedRepoError" in kinds:
        return ModelUnavailable(
            f"{name} is gated, and this machine has no access to it",
            f"accept its licence at https://huggingface.co/{name}, then set HF_TOKEN",
        )
    if "RevisionNotFoundError" in kinds:
        return ModelUnavailable(f"{name} has no revision {source.revision}", "check the revision")
    if {"RepositoryNotFoundError", "HFValidationError"} & kinds:
        return ModelUnavailable(
            f"the hub has no model {name}, or it is private",
            "check the name; for a private one set HF_TOKEN",
        )
    if {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError"} & kinds:
        return ModelUnavailable(
            f"the model hub cannot be reached, and {name} is not in the local cache",
            "check the connection and HF_HUB_OFFLINE, or give --model a local folder",
        )
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ModelUnavailable(f"{name} cannot be loaded: {reason}", "check the model's files")


def pin(source: Source) -> Source:
    """Return ``source`` at one commit, so that tokenizer, weights and proof use the same one."""
    config = load_config(source)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    commit = getattr(config, "_commit_hash", None)
    return replace(source, revision=commit or source.revision, context=context)


def load_config(source: Source) -> Any:
    """Return transformers' config of ``source``. Raises ``ModelUnavailable``."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            source.place, revision=source.revision, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise explain(error, source) from None


def load_tokenizer(source: Source) -> Any:
    """Return the tokenizer of a pinned source."""
    from transformers import AutoTokenizer

    missing = ModelUnavailable(
        f"{source.name} has no tokenizer that can be loaded",
        "add tokenizer.json and tokenizer_config.json to its folder",
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.place, revision=source.revision, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise missing if Path(source.place).is_dir() else explain(error, source) from None
    # Without files transformers makes a tokenizer with only special tokens.
    if len(tokenizer) <= len(tokenizer.added_tokens_decoder):
        raise missing
    return tokenizer


def choose_pad(tokenizer: Any, stop_id: int) -> None:
    """Set a pad token that is neither the end token nor the one that stops a turn."""
    taken = {tokenizer.eos_token_id, stop_id, None}
    if tokenizer.pad_token_id not in taken:
        return
    vocabulary = tokenizer.get_vocab()
    for token in PAD_TOKENS:
        if vocabulary.get(token) not in taken:
            tokenizer.pad_token = token
            return
    raise ModelUnavailable(
        "the tokenizer has no token to pad with", f"give it a pad token, such as {PAD_TOKENS[2]}"
    )


def choose_precision(
    wanted: str, source: Source, *, card_bytes: int | None, sharded: bool = False
) -> str:
    """Return bf16, fp32 or nf4. ``card_bytes``: the GPU's memory, None on a CPU.

    A base that is ``sharded`` between cards is not quantised.
    """
    if wanted != "auto":
        return wanted
    if card_bytes is None:
        return "fp32"
    if sharded:
        return "bf16"
    return "bf16" if 2 * count_parameters(source) <= WEIGHTS_SHARE * card_bytes else "nf4"


def count_parameters(source: Source) -> int:
    """Return the number of parameters, without loading them."""
    import torch
    from transformers import AutoModelForCausalLM

    config = load_config(source)
    with torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())


def kernel(source: Source, *, flash: bool) -> str:
    """Return the name of the attention that packs this model's rows; see ``trainer.attention.of_model``."""
    return of_model.kernel(load_config(source), flash=flash)


def window(source: Source) -> int:
    """Return the tokens of the model's attention windows, 0 without windows."""
    return of_model.window_of(load_config(source))


def architecture(source: Source) -> Architecture | None:
    """Return the model's shape for sizing; None for a family unknown to sizing."""
    return from_config(load_config(source).to_dict())


def load_base(
    source: Source, numerics: Numerics, *, attention: str | None = None, sharded: bool = False
) -> Any:
    """Load the weights as ``numerics`` describes.

    ``attention``: the name of an implementation; None: transformers' default for the class.
    ``sharded``: load only this process's part, in bf16 or fp32; see ``trainer.processes.fsdp``.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    register()
    quantization = None
    if numerics.precision == "nf4":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=numerics.dtype(numerics.compute),
        )
    where: dict[str, Any] = {"device_map": {"": numerics.place}}
    if sharded:
        where = {"distributed_config": fsdp.loading_options()}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            source.place,
            revision=source.revision,
            trust_remote_code=False,
            dtype=numerics.dtype(numerics.weights),
            quantization_config=quantization,
            attn_implementation=attention,
            **where,
        )
    except (OSError, ValueError, KeyError) as error:
        if out_of_memory.recognised(error):
            raise
        raise explain(error, source) from None
    if quantization and numerics.place == CPU:
        # Else bitsandbytes repacks the weights at the first evaluation, and then fails on a bias.
        for module in loaded.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    return loaded
