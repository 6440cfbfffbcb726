"""What a person without a package is told."""

import subprocess
import sys

import pytest

from datagen.missing_package import DATAGEN, LOCAL_MODEL, needing, openai_package
from trainer.contract.command.errors import NotInstalled


def test_the_package_and_the_command_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(
        NotInstalled, match=r"openai[\s\S]*pip install -c constraints.txt '.\[datagen\]'"
    ) as caught:
        openai_package()
    assert caught.value.hint == DATAGEN


def test_what_else_fails_is_left_alone():
    with pytest.raises(ZeroDivisionError), needing(LOCAL_MODEL):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("datagen.questions", "questions {csv} --out {out}/questions.jsonl"),
        ("datagen.questions", "episodes {csv} --out {out}/episodes --teacher scripted"),
        (
            "datagen.questions",
            "episodes {csv} --out {out}/episodes --teacher scripted --families slope",
        ),
        ("datagen.dataset", "export {csv} --out {out}/rows.jsonl"),
        ("datagen.dataset", "split {csv}"),
    ],
)
def test_where_a_part_is_left_out_the_next_step_is_named(package, words, shop, tmp_path):
    """As in the image that trains, whose datagen has no such folder."""
    hide = f"import sys; sys.modules['{package}'] = None"
    code = f"{hide}; from datagen.cli import main; sys.exit(main())"
    arguments = words.format(csv=shop, out=tmp_path).split()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == NotInstalled.exit_code
    assert done.stderr.splitlines()[-2:] == [
        f"error: this image cannot make data: it lacks {package}",
        "  -> run the command where you run launch, or in the image of --target cpu",
    ]
