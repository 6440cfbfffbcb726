import logging
import runpy
from pathlib import Path

import pytest

from launcher.errors import (
    ApiUnavailable,
    BadRequest,
    KeyForbidden,
    KeyRejected,
    NoCapacity,
    PaymentRequired,
    WrongState,
)
from launcher.runpod_api import Api
from trainer.contract.command.errors import NotFound, Usage

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
KEY = FAKE["KEY"]
POD = FAKE["POD"]
REQUEST = FAKE["REQUEST"]
DROP = FAKE["DROP"]
problem = FAKE["problem"]


def test_every_request_carries_key_and_name(fake, api):
    fake.on("GET", "/v2/pods", {"pods": []})
    assert api.pods() == []
    headers = fake.asked[0][4]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["User-Agent"] == "sft-launch"


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, "There are no longer any instances available with the requested", NoCapacity),
        (400, "not enough free GPUs on the host machine to start this pod", NoCapacity),
        (400, "no instances with the request specifications", NoCapacity),
        (400, "mounts.persistent and mounts.network are mutually exclusive", BadRequest),
        (400, "disk exceeds the capacity of a volume", BadRequest),
        (401, "missing bearer token", KeyRejected),
        (402, "balance too low", PaymentRequired),
        (403, "access denied", KeyForbidden),
        (404, "pod not found", NotFound),
        (409, "not valid in this state", WrongState),
        (418, "teapot", ApiUnavailable),
        (422, "Request validation failed.", BadRequest),
    ],
)
def test_each_refusal_is_its_own_fault_and_never_repeated(fake, api, status, detail, kind):
    fake.on("POST", "/v2/pods", problem(status, detail, "$: additional properties 'x' not allowed"))
    with pytest.raises(kind, match=detail[:20]) as caught:
        api.create_pod(REQUEST)
    assert type(caught.value) is kind
    assert fake.count("POST", "/v2/pods") == 1
    if kind is BadRequest:
        assert caught.value.status == status
        assert caught.value.faults == ("$: additional properties 'x' not allowed",)


def test_too_long_a_rate_limit_is_said_instead_of_waited_for(fake, api, slept):
    fake.on("GET", "/v2/pods", (429, problem(429, "day")[1], {"Retry-After": "45012"}))
    with pytest.raises(ApiUnavailable, match="45012 s"):
        api.pods()
    assert slept == []


@pytest.mark.parametrize("answer", [DROP, problem(503, "busy"), (429, {}, {"Retry-After": "soon"})])
def test_reads_are_repeated_with_growing_pauses(fake, api, slept, answer):
    fake.on("GET", "/v2/pods", answer, answer, answer, {"pods": [POD]})
    assert len(api.pods()) == 1
    assert slept == [0.75, 1.5, 3.0]


def test_reads_give_up_in_the_end(fake, api):
    fake.on("GET", "/v2/pods", problem(503, "busy"))
    with pytest.raises(ApiUnavailable, match="503: busy"):
        api.pods()
    assert fake.count("GET", "/v2/pods") == 6


def test_nobody_at_the_address(slept):
    with (
        Api(KEY, "http://127.0.0.1:9", now=float, sleep=slept.append, draw=lambda: 0.0) as api,
        pytest.raises(ApiUnavailable, match="does not answer"),
    ):
        api.create_pod(REQUEST)
    assert len(slept) == 5  # nothing was sent, so it could be repeated


@pytest.mark.parametrize("answer", [(200, b"<html>welcome"), {"data": 1}, (301, {})])
def test_something_that_is_not_the_api_is_said(fake, api, answer):
    fake.on("GET", "/v2/pods", answer)
    with pytest.raises(ApiUnavailable, match="RunPod's API"):
        api.pods()


@pytest.mark.parametrize("url", ["api.runpod.io", "ftp://x", "https://"])
def test_a_wrong_address_is_named(url):
    with pytest.raises(Usage, match="RUNPOD_API_BASE_URL"):
        Api(KEY, url, now=float, sleep=print, draw=float)


@pytest.mark.parametrize("key", ["", "a\nb", "schlüssel"])
def test_what_cannot_be_a_key_is_not_sent_and_not_said(key):
    with pytest.raises(KeyRejected) as caught:
        Api(key, now=float, sleep=print, draw=float)
    assert not key or key not in str(caught.value)


def test_the_key_and_passwords_appear_nowhere(fake, api, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    echo = f"no such key: {KEY}"
    fake.on("GET", "/v2/pods", problem(403, echo, echo), problem(500, echo))
    fake.on("GET", "/v2/pods/abc123", (200, echo.encode()))
    fake.on("GET", "/v2/registries", {"registries": []})
    fake.on("POST", "/v2/registries", problem(422, "bad name"))
    texts = [repr(api), repr(api._http), str(vars(api))]
    for call in (
        api.pods,
        api.pods,
        lambda: api.pod("abc123"),
        lambda: api.create_registry("ghcr", "me", "hunter2"),
    ):
        with pytest.raises((KeyForbidden, ApiUnavailable, BadRequest)) as caught:
            call()
        fault = caught.value
        texts += [str(fault), repr(fault), str(fault.faults), repr(fault.__cause__)]
        assert (
            fault.__suppress_context__
            or fault.__context__ is None
            or KEY not in str(fault.__context__)
        )
    printed = capfd.readouterr()
    for text in (*texts, caplog.text, printed.out, printed.err):
        assert KEY not in text
        assert "hunter2" not in text
    assert "***" in texts[3]


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(fake, slept, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fake.on("GET", "/v2/pods", {"pods": []})
    with Api(KEY, fake.url, now=float, sleep=slept.append, draw=float) as api:
        assert api.pods() == []


def test_a_netrc_file_does_not_replace_the_key(fake, api, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    fake.on("GET", "/v2/pods", {"pods": []})
    api.pods()
    assert fake.asked[0][4]["Authorization"] == f"Bearer {KEY}"
