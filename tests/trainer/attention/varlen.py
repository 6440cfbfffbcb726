"""``torch.nn.attention.varlen.varlen_attn`` as torch documents it, in plain torch, for any device and dtype."""

from itertools import pairwise
from typing import Any

import torch


def varlen_attn(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Any:
    """Shapes (tokens, heads, width). Query i of a row sees its keys from i - left to i + right; -1 is all.

    Judged arguments only: the borders are int32 and those of the keys, ``max_*`` is the longest row, and
    heads of keys are shared by equal groups of query heads. The default scale is 1 / sqrt(width).
    """
    heads, width = query.shape[1:]
    groups = heads // key.shape[1]
    assert query.dtype == key.dtype == value.dtype
    assert query.shape[-1] == key.shape[-1] == value.shape[-1]
    assert query.shape[0] == key.shape[0] == value.shape[0] == int(cu_seq_q[-1])
    assert key.shape[1] == value.shape[1]
    assert heads == groups * key.shape[1]
    assert groups == 1 or enable_gqa
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert int(cu_seq_q[0]) == 0
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert type(max_q) is type(max_k) is int
    assert max_q == max_k == int(cu_seq_q.diff().max())
    left, right = window_size
    assert min(left, right) >= -1
    kind = torch.float32 if query.dtype.itemsize < 4 else query.dtype
    out = []
    for begin, end in pairwise(cu_seq_q.tolist()):
        q, k, v = (states[begin:end].to(kind) for states in (query, key, value))
        k, v = (states.repeat_interleave(groups, dim=1) for states in (k, v))
        place = torch.arange(end - begin, device=query.device)
        later = place[None] - place[:, None]  # of each key, how far behind each query
        seen = torch.ones_like(later, dtype=torch.bool)
        if left >= 0:
            seen &= later >= -left
        if right >= 0:
            seen &= later <= right
        scores = torch.einsum("qhd,khd->hqk", q, k) * (width**-0.5 if scale is None else scale)
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        out.append(torch.einsum("hqk,khd->qhd", weights, v))
    return torch.cat(out).to(query.dtype)
