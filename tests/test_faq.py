"""Every message of the launcher has an entry in docs/faq.md, and each command that the page names exists."""

import re

import pytest

from launcher.cli import VERBS
from tests.faq import ABOUT, AREAS, EXIT_CODES, FILE, faq, messages
from tests.reference import reference


def test_the_page_is_what_the_code_says():
    assert FILE.read_text("utf-8") == faq(), "write it anew: python -m tests.faq"


def test_each_exit_code_of_the_launcher_has_a_section():
    listed = [kind for kinds in AREAS.values() for kind in kinds]
    assert sorted(listed) == sorted(ABOUT) == sorted(EXIT_CODES)


def test_messages_are_found_where_they_are_raised():
    found = {(one.kind, one.cause) for one in messages()}
    assert ("KeyRejected", "no RunPod key") in found
    assert ("PodFailed", "pod POD is stopped; its results are on its disk") in found
    assert ("NoEngine", "the container cannot be started: REASON") in found
    assert len(found) > 50


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`?launch ([a-z]+)[^|`\n]*", faq()))))
def test_a_command_that_the_page_names_exists(command):
    assert command in VERBS


def test_a_flag_that_the_page_names_exists():
    flags = set(re.findall(r"--[a-z][a-z-]+", faq()))
    assert flags - set(re.findall(r"--[a-z][a-z-]+", reference())) == set()
