"""The workflow that publishes the images builds the targets and bases that `launch image` builds."""

import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from launcher.image.build import BASES

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "images.yml"


def test_the_workflow_builds_every_target_on_the_base_of_its_cuda():
    image = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["image"]
    built = image["strategy"]["matrix"]["include"]
    targets = re.findall(
        r"^FROM code AS (\w+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(one["target"] for one in built) == sorted(targets)
    assert {one["cuda"]: one["base"] for one in built} == {
        cuda: BASES[cuda] for cuda in ("13.0", "none")
    }
    assert image["needs"] == "test"
    assert image["permissions"] == {"contents": "read", "packages": "write"}
