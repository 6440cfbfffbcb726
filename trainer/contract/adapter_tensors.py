"""Checks that the tensors of a saved LoRA adapter match its config: names, pairs, ranks.

PEFT adapts a linear layer with A (r, inputs) and B (outputs, r). Where a layer's experts are one stacked
parameter (``target_parameters`` in the config), A and B have r rows for each expert: (r x experts, inputs).
A second stacked parameter of the same module is adapted around the first, so the first one's tensors are
named ``base_layer``; ``rank_pattern`` gives ranks that differ from r (two projections stacked as one have 2r).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

DORA = ".lora_magnitude_vector"
SIDES = {".lora_A.weight": 0, ".lora_B.weight": 1}  # the dimension that is the rank


def adapter_faults(tensors: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return the faults in ``tensors`` (name to ``shape``) for PEFT's ``config``."""
    if not tensors:
        return ["holds no tensor"]
    faults: list[str] = []
    ranks: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, tensor in tensors.items():
        side = next((side for side in SIDES if name.endswith(side)), None)
        if side is None:
            faults += [] if name.endswith(DORA) else [f"{name} is not part of a LoRA adapter"]
            continue
        path, shape = name.removesuffix(side), tensor["shape"]
        partner = path + next(other for other in SIDES if other != side)
        if partner not in tensors:
            faults.append(f"{name} has no partner {partner}")
        elif len(shape) != 2:
            faults.append(f"{name} has shape {shape}, which is not of rank {config['r']}")
        elif side == ".lora_B.weight" and shape[1] != tensors[partner]["shape"][0]:
            faults.append(f"{name} has shape {shape}, and {partner} {tensors[partner]['shape']}")
        elif side == ".lora_A.weight":
            ranks[re.sub(r"(\.base_layer)+$", "", path)].append((name, shape[0]))
    return faults + list(_wrong_ranks(ranks, config))


def _wrong_ranks(
    found: Mapping[str, list[tuple[str, int]]], config: Mapping[str, Any]
) -> Iterator[str]:
    """Check the ranks of each module, and that all stacked ones have the same number of experts."""
    pattern = config.get("rank_pattern") or {}
    targets = config.get("target_parameters") or []
    stacked = sorted(_rank(name, pattern, config["r"]) for name in targets if "." not in name)
    experts: int | None = None
    for path, pairs in found.items():
        plain = _rank(path, pattern, config["r"])
        sizes = sorted(size for _, size in pairs)
        name, size = pairs[0]
        if sizes == [plain]:
            continue
        here = sizes[0] // stacked[0] if stacked else 0
        if here < 1 or sizes != [rank * here for rank in stacked]:
            shapes = " and ".join(map(str, sizes))
            yield f"{name} has {shapes} rows, which are not of rank {plain}" + (
                f", nor of ranks {stacked} for each expert" if stacked else ""
            )
        elif experts not in {None, here}:
            yield f"{name} has {size} rows: {here} experts, and other layers have {experts}"
        else:
            experts = here


def _rank(path: str, pattern: Mapping[str, int], rank: int) -> int:
    r"""The rank of what is at ``path``. PEFT writes patterns as ``.*\.name``; others are not read."""
    last = path.rpartition(".")[2]
    return next((r for key, r in pattern.items() if key.removeprefix(r".*\.") == last), rank)
