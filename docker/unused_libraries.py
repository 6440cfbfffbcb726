"""Deletes bitsandbytes' libraries for other CUDA versions and for the cards of other makers. Runs while the image is built.

Its wheel has 16 libraries, 128 MB, and loads one: for a CPU, or for the CUDA that torch is built for. bitsandbytes
chooses it, so this asks bitsandbytes.
"""

import sys
from pathlib import Path

from bitsandbytes.cextension import get_cuda_bnb_library_path
from bitsandbytes.consts import PACKAGE_DIR
from bitsandbytes.cuda_specs import CUDASpecs, get_cuda_version_tuple

CPU = "libbitsandbytes_cpu.so"


def needed(cuda: tuple[int, int] | None) -> set[str]:
    """Return the names of the libraries that bitsandbytes may load with a torch for this CUDA, None: for a CPU."""
    if cuda is None:
        return {CPU}
    # The card matters only for its maker.
    path = get_cuda_bnb_library_path(CUDASpecs((0, 0), f"{cuda[0]}{cuda[1]}", cuda))
    return {CPU, path.name}


def main() -> None:
    found = sorted(Path(PACKAGE_DIR).glob("libbitsandbytes_*"))
    kept = needed(get_cuda_version_tuple())
    missing = kept - {path.name for path in found}
    if missing:
        sys.exit(f"bitsandbytes has no library for this torch: {', '.join(sorted(missing))}")
    unused = [path for path in found if path.name not in kept]
    size = sum(path.stat().st_size for path in unused)
    for path in unused:
        path.unlink()
    print(f"deleted {len(unused)} of {len(found)} libraries of bitsandbytes: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
