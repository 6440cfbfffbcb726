"""Exact attention over rows that lie end to end: each token sees its own row, and nothing else.

No mask is built, so memory grows with the tokens and not with their square. On cards with flash
attention in torch (Ampere on; 16-bit values) it is one call of torch's variable-length attention;
elsewhere one call of scaled-dot-product attention a row.
"""

from typing import Any

NAME = "sft_varlen"
WIDEST = 256  # head size that the flash kernel takes
OLDEST = (8, 0)  # compute capability


def register() -> str:
    """Make it known to transformers; return the name for ``attn_implementation``."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Any = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """Transformers' attention interface: query (1, heads, tokens, width) to (1, tokens, heads, width).

    ``cu_seq_lens_q`` holds the rows' borders: 0, ..., tokens. Without it the batch must have no
    padding, for transformers makes no mask for an interface that it does not know.
    """
    if cu_seq_lens_q is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return out, None
    if _flash(query):
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
        borders = cu_seq_lens_q
        out = varlen_attn(
            q, k, v, borders, borders, max_length_q, max_length_q,
            scale=scaling, window_size=(-1, 0), enable_gqa=True,
        )  # fmt: skip
        return out[None], None
    return _row_by_row(query, key, value, cu_seq_lens_q, scaling), None


def _flash(query: Any) -> bool:
    import torch

    return bool(
        query.is_cuda
        and query.dtype in {torch.bfloat16, torch.float16}
        and query.shape[-1] <= WIDEST
        and torch.cuda.get_device_capability(query.device) >= OLDEST
    )


def _row_by_row(query: Any, key: Any, value: Any, borders: Any, scaling: float | None) -> Any:
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attention

    lengths = borders.diff().tolist()
    rows = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    parts = [attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True) for q, k, v in rows]
    return torch.cat(parts, dim=2).transpose(1, 2)
