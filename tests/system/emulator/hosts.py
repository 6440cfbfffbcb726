"""Cards, data centres, and the machines to rent.

Prices are the size of real ones, not real ones: nothing may rely on them.
"""

from dataclasses import dataclass

# id: (name, GB, secure $/h, community $/h, most per pod)
CARDS = {
    "NVIDIA RTX A5000": ("RTX A5000", 24, 0.27, 0.16, 8),
    "NVIDIA L4": ("L4", 24, 0.49, 0.43, 8),
    "NVIDIA GeForce RTX 3090": ("RTX 3090", 24, 0.50, 0.22, 8),
    "NVIDIA GeForce RTX 4090": ("RTX 4090", 24, 0.74, 0.34, 8),
    "NVIDIA A40": ("A40", 48, 0.49, 0.40, 8),
    "NVIDIA RTX A6000": ("RTX A6000", 48, 0.53, 0.33, 8),
    "NVIDIA L40S": ("L40S", 48, 0.99, 0.79, 8),
    "NVIDIA A100 80GB PCIe": ("A100 PCIe", 80, 1.59, 1.19, 8),
    "NVIDIA H100 PCIe": ("H100 PCIe", 80, 2.69, 1.99, 8),
    "NVIDIA H100 80GB HBM3": ("H100 SXM", 80, 3.49, 2.69, 8),
}
# id: (name, region, country)
CENTRES = {
    "US-KS-2": ("US Kansas 2", "NORTH_AMERICA", "US"),
    "US-TX-3": ("US Texas 3", "NORTH_AMERICA", "US"),
    "EU-RO-1": ("EU Romania 1", "EUROPE", "RO"),
    "EU-SE-1": ("EU Sweden 1", "EUROPE", "SE"),
}
DRIVERS = {"12.4": "550.54.14", "12.6": "560.35.03", "12.8": "570.124.06", "13.0": "580.65.06"}


@dataclass
class Host:
    """One machine with `free` cards of one kind. `cuda` is what its driver supports.

    `vcpus` and `ram` (GB) are what each card of it brings.
    """

    gpu: str
    centre: str
    cuda: str = "13.0"
    free: int = 8
    cloud: str = "SECURE"
    vcpus: int = 8
    ram: int = 62


def usual_hosts() -> list[Host]:
    """Each card in a data centre with today's driver and in one with an older driver."""
    centres = list(CENTRES)
    return [
        Host(gpu, centres[(place + turn) % len(centres)], cuda)
        for place, gpu in enumerate(CARDS)
        for turn, cuda in enumerate(("13.0", "12.8"))
    ]


def number(version: str) -> tuple[int, ...]:
    """12.11 is above 12.2."""
    return tuple(int(part) for part in version.split("."))
