"""What a person without a package is told."""

import sys

import pytest

from datagen.missing_package import DATAGEN, LOCAL_MODEL, needing, openai_package
from trainer.contract.command.errors import NotInstalled


def test_the_package_and_the_command_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(NotInstalled, match=r"openai[\s\S]*pip install '.\[datagen\]'") as caught:
        openai_package()
    assert caught.value.hint == DATAGEN


def test_what_else_fails_is_left_alone():
    with pytest.raises(ZeroDivisionError), needing(LOCAL_MODEL):
        raise ZeroDivisionError
