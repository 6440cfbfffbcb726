"""Whatever an API, its log stream or a teacher says: a value or one ``Fault``, and nothing that grows."""

import json
from contextlib import suppress

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.models.paid_api.response import read_answer
from launcher.runpod_api import Api
from launcher.runpod_api.logs import MOST_DATA, read_events
from tests.fuzz.test_readers import EXAMPLES, NASTY, altered, values
from trainer.contract import pod
from trainer.contract.command.errors import Fault

CALLS = {
    "pods": Api.pods,
    "pod": lambda api: api.pod("p"),
    "stop": lambda api: api.stop("p"),
    "start": lambda api: api.start("p"),
    "delete": lambda api: api.delete("p"),
    "catalog": Api.catalog,
    "data centres": Api.data_centers,
    "registries": Api.registries,
    "volumes": Api.volumes,
    "bill": lambda api: api.bill("p", since="2026-01-01T00:00:00Z"),
}
LISTS = ("pods", "gpus", "dataCenters", "registries", "networkVolumes", "records")


def ask(monkeypatch, call, body, status=200):
    class Client(httpx2.Client):
        def __init__(self, **named):
            answer = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
            super().__init__(**named | {"transport": answer})

    with monkeypatch.context() as patch:
        patch.setattr(httpx2, "Client", Client)
        with (
            Api(
                "key", "http://127.0.0.1:1", now=lambda: 0.0, sleep=lambda _: None, draw=lambda: 0.0
            ) as api,
            suppress(Fault),
        ):
            call(api)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
def test_an_answer_that_breaks_readers_is_one_fault(monkeypatch, call, body):
    ask(monkeypatch, call, body)
    ask(monkeypatch, call, body, status=400)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@given(
    item=altered().map(json.loads) | values, status=st.sampled_from([200, 200, 200, 400, 404, 409])
)
@settings(max_examples=40)
def test_an_odd_answer_is_read_or_is_one_fault(call, item, status):
    with pytest.MonkeyPatch.context() as patch:
        for body in (item, {name: [item] for name in LISTS}, dict.fromkeys(LISTS, item)):
            ask(patch, call, json.dumps(body).encode(), status)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 400, "true"])
def test_a_number_that_is_none_is_read(monkeypatch, number):
    text = json.dumps(EXAMPLES["pod"]).replace(": 1.0", f": {number}").replace(": 3", f": {number}")
    for call in CALLS.values():
        ask(monkeypatch, call, text.encode())
        listed = ", ".join(f'"{name}": [{text}]' for name in LISTS)
        ask(monkeypatch, call, f"{{{listed}}}".encode())


@given(lines=st.lists(st.text(max_size=30) | st.sampled_from(["", ":", "id: 1", "data: {}"])))
def test_any_stream_is_lines(lines):
    list(read_events(iter(lines)))


@pytest.mark.parametrize("begun", [[], ["id: 1"]])
def test_a_stream_without_an_end_does_not_grow(begun):
    def endless():
        yield from begun
        for _ in range(200):
            yield "data: " + "x" * (MOST_DATA // 50)
        yield ""
        yield "id: 2"
        yield 'data: {"line": "after"}'

    assert [line.line for line in read_events(endless()) if line is not None] == ["after"]


@given(body=altered().map(json.loads) | values)
def test_any_answer_of_a_teacher_is_a_reply_or_a_failure(body):
    read_answer(body, None, now=0.0)


@given(text=st.text(max_size=60), boot=st.text("0123456789-x", max_size=12))
def test_any_log_line_is_a_host_key_or_none(text, boot):
    for line in (text, f"SFT {boot} {text}", f"sft host key a {boot} {text}"):
        found = pod.parse_host_key(line, "a")
        assert found is None or isinstance(found[0], int)
