"""docs/renting.md, "Train on RunPod", is followed word for word against the emulator, from an empty home."""

import re
from pathlib import Path

import pytest

from launcher.image.build import recipe
from tests.system.client import until
from tests.system.story import rows

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "renting.md").read_text("utf-8")
SECTION = PAGE.partition("\n## Train on RunPod\n")[2].partition("\n## ")[0]
TRAIN, LOOK_AFTER = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
EMULATOR = (HERE / "emulator" / "README.md").read_text("utf-8")
TINY = " --recipe tiny --model bundled:tiny"


def test_from_the_key_to_the_adapter(story, runpod, laptop, image_settings, tmp_path):
    """With the model that the emulator's README names, and this machine's way to the package index."""
    config = tmp_path / ".config" / "sft-launch" / "launch.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'build_args = "{image_settings.build_args}"\n')
    (tmp_path / "chats.jsonl").write_text(rows(8))
    command = "launch train --gpu A10G --data chats.jsonl"
    assert f"\n{command}\n" in TRAIN
    assert f"\n{command}{TINY}\n" in EMULATOR
    script = (
        TRAIN.replace("rpa_...", runpod.keys.account)
        .replace("ghcr.io/me/sft-launch", str(image_settings.image_repo))
        .replace(command, command + TINY)
    )
    work = laptop.shell(script)
    assert work.ended() == 0, work.said
    (run,) = (path.name for path in (tmp_path / "runs").iterdir())
    story.ledger(
        work, run=run, hours=6, says=[f"{recipe(image_settings).tag} is already in the registry"]
    )
    assert laptop.result(run).complete
    assert "MISSING" not in work.said


def test_a_run_that_was_left_is_looked_after(story, laptop):
    work = story.train("--set", "checkpoint.steps=5", steps=100_000)
    until(lambda: laptop.steps("r1"), seconds=180)
    work.kill()
    after = laptop.shell(LOOK_AFTER.replace("RUN", "r1"))
    story.ledger(
        after,
        says=[
            "follow it with: launch attach r1",
            "train.log | rows are packed",
            "nothing keeps running",
            "receipt  charged $0.",
            "no rented pods remain",
        ],
    )
