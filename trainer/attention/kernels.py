"""Exact attention over packed rows: each token sees only its own row, and there only its window.

Two implementations are registered with transformers. ``VARLEN`` is one call of torch's variable-length
flash attention: a card of compute capability 8.0 or newer, values of 16 bits, head size 256 at most.
``ROWS`` is one call of scaled-dot-product attention for each row, on any device. The plan chooses one.

Anything that neither can compute (a soft cap, sinks, any mask but a causal one with or without a sliding
window) is an error that names it. No argument that a model passes to its attention is ignored.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import getclosurevars
from typing import Any

from trainer.contract.command.errors import ModelUnavailable

VARLEN = "sft_varlen"
ROWS = "sft_rows"
WIDEST = 256  # head size that the flash kernels take
# Arguments of forward that do not change attention: `attend` gets the rows' borders by others.
IRRELEVANT = {
    *("position_ids", "cu_seq_lens_k", "max_length_k", "num_items_in_batch"),
    "output_router_logits",
    *("output_hidden_states", "use_cache", "return_dict", "cache_position", "seq_idx"),
}
READABLE = {"softcap": "a soft cap", "s_aux": "sinks", "dropout": "dropout"}
MASKS = "transformers.masking_utils"


@dataclass(frozen=True, slots=True)
class Causal:
    """A description of the mask, so that no tokens x tokens matrix is built.

    A token sees the last ``window`` tokens of its row with itself, or all tokens before it if ``window`` is
    None. ``packed``: the positions restart within the batch, so that the rows' borders are needed.
    """

    window: int | None
    packed: bool


def packs(name: str) -> bool:
    """Whether the implementation ``name`` takes several rows in one micro-batch."""
    return name in {VARLEN, ROWS}


def register() -> None:
    """Make both implementations, and their masks, known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    for name, kernel in ((VARLEN, _varlen), (ROWS, _row_by_row)):
        AttentionInterface.register(name, partial(attend, kernel))
        AttentionMaskInterface.register(name, describe)


def cannot(what: str) -> ModelUnavailable:
    """Return the error for a feature of a model's attention that packing does not support."""
    return ModelUnavailable(f"attention with {what} cannot be packed exactly")


def describe(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    attention_mask: Any = None,
    **others: Any,
) -> Any:
    """Transformers' mask interface: a ``Causal`` for whole rows; a tensor with a cache or padding."""
    whole = attention_mask is None or bool(attention_mask.all())
    if q_length == kv_length and whole:
        return _described(mask_function)
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        **others | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False},
    )


def _described(function: Callable[..., Any]) -> Causal:
    parts = dict(_parts(function))
    packed = parts.pop("packed_sequence_mask_function", None) is not None
    window = parts.pop("sliding_window_overlay", {}).get("sliding_window")
    if parts.pop("causal_mask_function", None) is None or parts:
        raise cannot(
            f"the mask {' and '.join(parts) or getattr(function, '__qualname__', function)}"
        )
    return Causal(window, packed)


def _parts(function: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the masks that ``function`` intersects: the name of each one's maker, and its arguments."""
    name = str(getattr(function, "__qualname__", function)).partition(".")[0]
    if getattr(function, "__module__", None) != MASKS:
        raise cannot(f"the mask {name}")
    made_from: dict[str, Any] = dict(getclosurevars(function).nonlocals)
    inner = made_from.get("mask_functions", ())
    if name == "remap_positions_for_packed_sequence":
        inner = (made_from["mask_function"],)
    elif name != "and_masks":
        yield name, made_from
        return
    for part in inner:
        yield from _parts(part)


def attend(
    kernel: Callable[..., Any],
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: Any = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """Transformers' attention interface: query (batch, heads, tokens, width) to (batch, tokens, heads, width).

    ``cu_seq_lens_q`` holds the rows' borders in a batch of one: 0, ..., tokens. Without it each
    member of the batch is one row. Raises ``ModelUnavailable`` for what the kernels do not compute.
    """
    unknown = {
        n for n, v in others.items() if n not in IRRELEVANT and not (v is None or v is False)
    }
    unknown |= {"dropout"} if dropout else set()
    if unknown:
        raise cannot(", ".join(READABLE.get(name, name) for name in sorted(unknown)))
    if is_causal is False or not getattr(module, "is_causal", True):
        raise cannot("tokens that see later ones")
    if not isinstance(attention_mask, Causal):
        return _with_cache(module, query, key, value, attention_mask, scaling, cu_seq_lens_q), None
    if sliding_window not in {None, attention_mask.window}:
        raise cannot(f"a window of {sliding_window} and a mask of {attention_mask.window}")
    if cu_seq_lens_q is None and not attention_mask.packed:
        return _row(query, key, value, attention_mask.window, scaling).transpose(1, 2), None
    if cu_seq_lens_q is None or query.shape[0] != 1:
        raise cannot("rows whose borders are not given")
    window = attention_mask.window
    return kernel(query, key, value, cu_seq_lens_q, max_length_q, window, scaling), None


def _with_cache(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float | None, borders: Any
) -> Any:
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if borders is not None or not isinstance(mask, torch.Tensor):
        raise cannot("a mask that transformers' masking_utils did not make")
    return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling)[0]


def _varlen(
    query: Any,
    key: Any,
    value: Any,
    borders: Any,
    longest: int,
    window: int | None,
    scaling: float | None,
) -> Any:
    """One call for all rows. For the kernel a window of W tokens is W - 1 tokens before the token itself."""
    import torch
    from torch.nn.attention.varlen import varlen_attn
    from torch.nn.functional import pad

    kind, device = value.dtype, value.device.type
    if kind is torch.float32 and torch.is_autocast_enabled(device):
        kind = torch.get_autocast_dtype(device)
    q, k, v = (states[0].transpose(0, 1).to(kind) for states in (query, key, value))
    width = v.shape[-1]
    if width != q.shape[-1]:
        # Values narrower than keys (DeepSeek) are padded with zeros, which change nothing.
        v = pad(v, (0, q.shape[-1] - width))
    out = varlen_attn(
        q, k, v, borders, borders, longest, longest,
        scale=scaling, window_size=(-1 if window is None else window - 1, 0), enable_gqa=True,
    )  # fmt: skip
    return out[None, ..., :width]


def _row_by_row(
    query: Any,
    key: Any,
    value: Any,
    borders: Any,
    _longest: int,
    window: int | None,
    scaling: float | None,
) -> Any:
    import torch

    lengths = borders.diff().tolist()
    rows = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    parts = [_row(q, k, v, window, scaling) for q, k, v in rows]
    return torch.cat(parts, dim=2).transpose(1, 2)


def _row(query: Any, key: Any, value: Any, window: int | None, scaling: float | None) -> Any:
    """Attention of a row to itself; a band is built only if the row is longer than the window."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attention

    length = query.shape[2]
    band = None
    if window is not None and length > window:
        ones = torch.ones(length, length, dtype=torch.bool, device=query.device)
        band = ones.tril().triu(1 - window)
    grouped = query.shape[1] != key.shape[1]
    if grouped and (band is not None or not key.shape[-1] == value.shape[-1] <= WIDEST):
        # For grouped heads with a mask, or wide ones, torch only has the kernel that keeps every score.
        share = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(share, dim=1) for states in (key, value))
        grouped = False
    return attention(
        query, key, value, attn_mask=band, is_causal=band is None, scale=scaling, enable_gqa=grouped
    )
