"""``launch`` with the fake trainer: ``python drive.py BEHAVIOUR train ...``. Only the process edge differs."""

import sys
from pathlib import Path

from launcher import world
from launcher.cli import main
from launcher.machines import here

FAKE = Path(__file__).with_name("fake_trainer.py")


class FakeWorld(world.World):
    def __init__(self, behaviour: str = "good") -> None:
        self.behaviour = behaviour

    def python(self, module: str, *arguments: str) -> list[str]:
        assert module == "trainer"
        return [sys.executable, "-u", str(FAKE), self.behaviour, *arguments]


if __name__ == "__main__":
    chosen = sys.argv[1]
    world.World = lambda: FakeWorld(chosen)  # type: ignore[assignment,misc]
    here.NEEDED = ()
    sys.exit(main(sys.argv[2:]))
