"""Takes the pictures of a page for docs/: python -m tests.system.screenshots runs/RUN/report.html docs/report.png

Beside docs/report.png (1280 px wide) it writes docs/report-dark.png and docs/report-phone.png (390 px).
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.system.browser import PHONE, SHOT, WIDE, Page, chromium

COLOURS = 128


def take(page: Path, picture: Path, *, height: int = 1600) -> list[Path]:
    """Write the three pictures; return their paths. Raises ``LookupError`` without a browser."""
    found = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium(Path(profile)) as address,
    ):
        if address is None:
            raise LookupError("no chromium; run: apt-get install chromium")
        for ending, width, scheme in (
            ("", WIDE, "light"),
            ("-dark", WIDE, "dark"),
            ("-phone", PHONE, "light"),
        ):
            (shot,) = Page(address).visit(
                page.resolve(), width=width, height=height, scheme=scheme, ask=[SHOT]
            )
            target = picture.with_stem(picture.stem + ending)
            image = Image.open(io.BytesIO(shot)).convert("RGB")
            image.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
            found.append(target)
    return found


if __name__ == "__main__":
    for path in take(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path, path.stat().st_size)
