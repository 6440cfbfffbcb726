"""Docker's configuration, without an engine; tests/system/test_docker_config.py compares with `docker`."""

import base64
import os

import pytest

from launcher.docker_engine.config import Logins
from launcher.errors import NoEngine

SECRET = "CANARY0123456789"
HUB = "https://index.docker.io/v1/"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """``read(text, helper=script)``: the configuration ``text``, with the helper ``docker-credential-it``."""

    def do(text: str | bytes, helper: str = "") -> Logins:
        (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        if helper:
            program = tmp_path / "docker-credential-it"
            program.write_text(f"#!/bin/sh\n{helper}\n")
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return Logins.read(lambda name: str(tmp_path) if name == "DOCKER_CONFIG" else "", tmp_path)

    return do


def entry(text: str) -> str:
    return f'{{"auth": "{base64.b64encode(text.encode()).decode()}"}}'


@pytest.mark.parametrize("host", [HUB, "docker.io", "index.docker.io"])
def test_a_login_to_docker_hub_has_several_names(read, host):
    logins = read(f'{{"auths": {{"{host}": {entry(f"me:{SECRET}")}, "q.io": {{}}}}}}')
    assert logins.login("docker.io")[0].endswith("config.json")
    assert logins.login("q.io") == logins.login("other.io") == ("", "")
    assert logins.remedy("other.io") == "log in with: docker login other.io"


@pytest.mark.parametrize(
    ("helper", "fault"),
    [
        ("", "docker-credential-it is not installed"),
        (
            "echo the vault is locked; exit 1",
            'docker-credential-it exited with "the vault is locked"',
        ),
        ("echo hello", "docker-credential-it does not print a login"),
        ('echo \'{"Username": "me"}\'', "docker-credential-it does not print a login"),
        ("echo []", "docker-credential-it does not print a login"),
        ("echo credentials not found in native keychain; exit 1", ""),
    ],
)
def test_a_helper_that_fails_has_no_login_and_says_why(read, helper, fault):
    for text in ('{"credsStore": "it"}', '{"credHelpers": {"q.io": "it"}}'):
        logins = read(text, helper)
        assert logins.login("q.io") == ("", fault)
        assert logins.resolve_authconfig("q.io") is None
        logins.get_all_credentials()  # what a build sends
        assert ("repair docker-credential-it" in logins.remedy("q.io")) is bool(fault)


def test_a_helper_that_works_is_the_source(read):
    prints = f"""echo '{{"Username": "me", "Secret": "{SECRET}"}}'"""
    assert read('{"credsStore": "it"}', prints).login("q.io") == ("docker-credential-it", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "Input should be an object"),
        (b"\xff", "'utf-8' codec can't decode"),
        ('{"credsStore": 3}', "credsStore: Input should be a valid string"),
        ('{"auths": ["x"]}', "auths: Input should be an object"),
        (f'{{"auths": {{"q.io": {entry(SECRET)}}}}}', "auths.q.io.auth: not the base64 form"),
        (f'{{"auths": {{"q.io": "{SECRET}"}}}}', "auths.q.io: Input should be an object"),
    ],
)
def test_an_invalid_file_is_named_with_the_place_and_no_secret(read, text, reason):
    with pytest.raises(NoEngine) as caught:
        read(text)
    assert reason in caught.value.cause
    assert "config.json is invalid" in caught.value.cause
    assert SECRET not in str(caught.value)
    assert base64.b64encode(SECRET.encode()).decode() not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"auths": null, "credHelpers": null, "new": {"a": 1}}']
)
def test_a_file_with_nothing_of_interest_is_taken(read, text):
    assert read(text).login("q.io") == ("", "")
