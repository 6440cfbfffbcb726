import json
import logging
import socket
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
from launcher.runpod_api import Api, OutcomeUnknown, PodRequest
from launcher.runpod_api.answers import Endpoint, Pod
from launcher.runpod_api.logs import read_events
from trainer.contract.errors import NotFound, Usage

KEY = "rpa_CANARY0123456789"
POD = {
    "id": "abc123",
    "name": "sft-1",
    "status": "RUNNING",
    "actions": ["stop", "terminate"],
    "image": "ghcr.io/me/sft@sha256:00",
    "cost": 0.27,
    "gpu": {"id": "NVIDIA RTX A5000", "count": 1},
    "dataCenterId": "EU-RO-1",
    "cudaVersion": "13.0",
    "ssh": {"proxy": None, "direct": {"host": "192.0.2.7", "port": 40022, "username": "root"}},
    "runtime": {"uptime": 12, "gpus": [{"util": 97, "memoryUtil": 40}]},
    "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA"},
    "createdAt": "2026-11-22T12:00:00Z",
    "startedAt": None,
    "somethingNew": {"x": 1},
}
REQUEST = PodRequest(
    name="sft-1",
    image="ghcr.io/me/sft@sha256:00",
    gpu_id="NVIDIA RTX A5000",
    gpu_count=1,
    min_cuda="13.0",
    disk=20,
    mount="/workspace",
    volume_gb=30,
    env={"FINISH_BY": "1", "GONE_BY": "2"},
)
DROP = "drop"  # read the request, then hang up


class Fake:
    """Answers from a script: ``on(method, path, ...)`` queues answers, the last one stays."""

    def __init__(self):
        self.script: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.asked: list[Any] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                seen = (self.command, url.path, query, json.loads(body or b"null"), self.headers)
                fake.asked.append(seen)
                queue = fake.script[self.command, url.path]
                answer = (404, {"detail": "no such thing"}) if not queue else queue[0]
                if len(queue) > 1:
                    del queue[0]
                if answer == DROP:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.reply(*answer)

            do_GET = do_POST = do_DELETE = do_PUT = answer

            def reply(self, status, content=None, headers=(), then=None):
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                data = b"" if content is None else data
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                if then is None:
                    self.send_header("Content-Length", str(len(data)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(data)
                if then is not None:
                    then()
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def on(self, method, path, *answers):
        self.script[method, path] += [
            a if isinstance(a, tuple | str) else (200, a) for a in answers
        ]

    def count(self, method, path):
        return sum(asked[:2] == (method, path) for asked in self.asked)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake():
    made = Fake()
    yield made
    made.close()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def api(fake, slept):
    with Api(KEY, fake.url, now=lambda: 1000.0, sleep=slept.append, draw=lambda: 0.5) as made:
        yield made


def problem(status, detail, *errors):
    return status, {"title": "T", "status": status, "detail": detail, "errors": list(errors)}


def test_every_request_carries_key_and_name(fake, api):
    fake.on("GET", "/v2/pods", {"pods": []})
    assert api.pods() == []
    headers = fake.asked[0][4]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["User-Agent"] == "sft-launch"


def test_a_pod_is_read(fake, api):
    fake.on("GET", "/v2/pods/abc123", POD)
    pod = api.pod("abc123")
    assert (pod.id, pod.status, pod.rate, pod.gpu_id) == (
        "abc123",
        "RUNNING",
        0.27,
        "NVIDIA RTX A5000",
    )
    assert pod.ssh == Endpoint("192.0.2.7", 40022, "root")
    assert (pod.uptime, pod.gpu_use, pod.started) == (12, (97.0,), "")
    assert "PUBLIC_KEY" not in repr(pod)


@pytest.mark.parametrize("name", sorted(POD))
@pytest.mark.parametrize("value", [None, "text", 7, [], {}, [None], {"x": None}])
def test_whatever_a_field_holds_a_pod_is_read(name, value):
    assert isinstance(Pod.read({**POD, name: value}), Pod)
    assert isinstance(Pod.read({key: item for key, item in POD.items() if key != name}), Pod)


def test_the_address_is_also_found_among_the_ports():
    runtime = {"ports": [{"private": 22, "public": 30022, "type": "tcp", "ip": "192.0.2.9"}]}
    pod = Pod.read({**POD, "ssh": {"direct": None}, "runtime": runtime})
    assert pod.ssh == Endpoint("192.0.2.9", 30022)
    assert Pod.read({**POD, "ssh": {"direct": None}, "runtime": {}}).ssh is None


def test_lists_are_followed_to_their_end_and_leave_out_what_is_terminated(fake, api):
    more = {"hasNextPage": True, "nextCursor": "c2"}
    fake.on(
        "GET",
        "/v2/pods",
        {"pods": [POD, {**POD, "id": "dead", "status": "TERMINATED"}], "pagination": more},
        {"pods": [{**POD, "id": "other", "name": "x"}], "pagination": {"hasNextPage": False}},
    )
    assert [pod.id for pod in api.pods()] == ["abc123", "other"]
    assert [asked[2] for asked in fake.asked] == [{}, {"cursor": "c2"}]


def test_only_the_exact_name_counts(fake, api):
    fake.on("GET", "/v2/pods", {"pods": [POD, {**POD, "id": "two", "name": "sft-12"}]})
    assert [pod.id for pod in api.pods("sft-1")] == ["abc123"]


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


def test_the_request_always_names_what_the_scheduler_needs(fake, api):
    fake.on("POST", "/v2/pods", (201, POD))
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.asked[0][3] == {
        "name": "sft-1",
        "image": "ghcr.io/me/sft@sha256:00",
        "cloud": "SECURE",
        "gpu": {"id": "NVIDIA RTX A5000", "count": 1, "minCudaVersion": "13.0"},
        "disk": 20,
        "mounts": {"persistent": {"size": 30, "path": "/workspace"}},
        "ports": ["22/tcp"],
        "env": {"FINISH_BY": "1", "GONE_BY": "2"},
    }


def test_a_network_volume_replaces_the_host_disk():
    request = PodRequest(
        **{
            **REQUEST.__dict__,
            "volume_id": "vol",
            "registry": "reg",
            "data_centers": ("EU-RO-1",),
            "args": "pod",
        }
    )
    body = request.body()
    assert body["mounts"] == {"network": [{"volumeId": "vol", "path": "/workspace"}]}
    assert (body["registry"], body["args"], body["dataCenterIds"]) == ("reg", "pod", ["EU-RO-1"])


@pytest.mark.parametrize("answer", [DROP, problem(500, "oops"), (201, {}), (201, b"<html>")])
def test_a_pod_made_in_spite_of_an_error_is_found_not_made_again(fake, api, answer):
    fake.on("POST", "/v2/pods", answer)
    fake.on("GET", "/v2/pods", {"pods": []}, {"pods": []}, {"pods": [POD]})
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.count("POST", "/v2/pods") == 1


def test_create_is_tried_again_only_after_the_name_stayed_away(fake, api, slept):
    fake.on("POST", "/v2/pods", problem(502, "bad gateway"), (201, POD))
    fake.on("GET", "/v2/pods", {"pods": []})
    assert api.create_pod(REQUEST).id == "abc123"
    order = [asked[0] for asked in fake.asked]
    assert order == ["POST", *["GET"] * 5, "POST", "GET"]
    assert sum(slept) == 30


def test_a_twin_that_turns_up_late_is_released(fake, api):
    twin = {**POD, "id": "twin"}
    fake.on("POST", "/v2/pods", problem(500, "oops"), (201, POD))
    fake.on("GET", "/v2/pods", *[{"pods": []}] * 5, {"pods": [POD, twin]}, {"pods": [POD]})
    fake.on("DELETE", "/v2/pods/twin", (204,))
    assert api.create_pod(REQUEST).id == "abc123"
    assert fake.count("DELETE", "/v2/pods/twin") == 1
    assert fake.count("DELETE", "/v2/pods/abc123") == 0


def test_create_gives_up_saying_what_may_exist(fake, api):
    fake.on("POST", "/v2/pods", problem(500, "oops"))
    fake.on("GET", "/v2/pods", {"pods": []})
    with pytest.raises(OutcomeUnknown, match="may exist") as caught:
        api.create_pod(REQUEST)
    assert "sft-1" in caught.value.hint
    assert fake.count("POST", "/v2/pods") == 3


def test_create_with_the_api_gone_is_of_unknown_outcome(fake, api):
    fake.on("POST", "/v2/pods", DROP)
    fake.on("GET", "/v2/pods", DROP)
    with pytest.raises(OutcomeUnknown, match="may exist"):
        api.create_pod(REQUEST)
    assert fake.count("POST", "/v2/pods") == 1


def test_a_rate_limited_create_was_not_carried_out_and_waits_as_told(fake, api, slept):
    limited = (429, problem(429, "slow down")[1], {"Retry-After": "12"})
    fake.on("POST", "/v2/pods", limited, (201, POD))
    assert api.create_pod(REQUEST).id == "abc123"
    assert slept == [12.25]
    assert fake.count("GET", "/v2/pods") == 0


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


def test_stop_and_start_are_idempotent(fake, api):
    conflict = problem(409, "not valid")
    fake.on("POST", "/v2/pods/abc123/action", {**POD, "status": "EXITED"}, conflict)
    fake.on("GET", "/v2/pods/abc123", {**POD, "status": "EXITED"}, {**POD, "status": "RUNNING"})
    assert api.stop("abc123").status == "EXITED"
    assert api.stop("abc123").status == "EXITED"
    assert api.start("abc123").status == "RUNNING"
    assert [asked[3] for asked in fake.asked if asked[0] == "POST"] == [
        {"action": "stop"},
        {"action": "stop"},
        {"action": "start"},
    ]


def test_an_action_that_is_really_not_allowed_is_said(fake, api):
    fake.on("POST", "/v2/pods/abc123/action", problem(409, "not valid"))
    fake.on("GET", "/v2/pods/abc123", POD)
    with pytest.raises(WrongState):
        api.stop("abc123")


def test_a_stopped_pod_whose_host_is_full(fake, api):
    detail = "not enough free GPUs on the host machine"
    fake.on("POST", "/v2/pods/abc123/action", problem(400, detail))
    with pytest.raises(NoCapacity):
        api.start("abc123")


def test_release_waits_until_get_and_list_agree(fake, api):
    fake.on("DELETE", "/v2/pods/abc123", (204,), problem(404, "gone"))
    fake.on("GET", "/v2/pods/abc123", POD, problem(404, "gone"))
    fake.on("GET", "/v2/pods", {"pods": [POD]}, {"pods": []})
    api.release("abc123")
    assert fake.count("GET", "/v2/pods/abc123") == 3
    assert fake.count("GET", "/v2/pods") == 2


def test_a_delete_that_answers_404_proves_nothing(fake, api, slept):
    fake.on("DELETE", "/v2/pods/abc123", problem(404, "?"), problem(404, "?"), (204,))
    fake.on("GET", "/v2/pods/abc123", problem(404, "?"), POD, problem(404, "gone"))
    fake.on("GET", "/v2/pods", {"pods": []})
    api.release("abc123")
    assert fake.count("DELETE", "/v2/pods/abc123") == 3


def test_releasing_again_is_no_error_and_looks_more_than_once(fake, api):
    fake.on("GET", "/v2/pods", {"pods": []})
    api.release("abc123")
    assert fake.count("GET", "/v2/pods") == 3


def test_a_pod_that_does_not_go_is_said(fake, api):
    fake.on("DELETE", "/v2/pods/abc123", (204,))
    fake.on("GET", "/v2/pods/abc123", POD)
    with pytest.raises(ApiUnavailable, match="still be billed"):
        api.release("abc123")


def test_terminated_is_as_good_as_gone(fake, api):
    dead = {**POD, "status": "TERMINATED"}
    fake.on("DELETE", "/v2/pods/abc123", (204,))
    fake.on("GET", "/v2/pods/abc123", dead)
    fake.on("GET", "/v2/pods", {"pods": [dead]})
    api.release("abc123")


def test_an_id_cannot_leave_its_place_in_the_path(fake, api):
    assert api.pod("../registries") is None
    assert fake.asked[0][1] == "/v2/pods/..%2Fregistries"


def test_the_catalog_says_when_it_was_read(fake, api):
    gpu = {
        "id": "NVIDIA L4",
        "name": "L4",
        "memory": 24,
        "secure": True,
        "price": {"secure": 0.49, "community": None},
        "maxCount": {"secure": 8},
        "availability": "LOW",
        "dataCenters": [{"id": "EU-RO-1", "name": "Romania", "availability": "LOW"}],
        "cudaVersions": [{"version": "13.0", "available": True}],
    }
    fake.on("GET", "/v2/catalog/gpus", {"gpus": [gpu, {"id": "x", "price": None}]})
    catalog = api.catalog(2, min_cuda="13.0")
    assert (catalog.read_at, catalog.count) == (1000.0, 2)
    assert catalog.gpus[0].secure_price == 0.49
    assert catalog.gpus[0].cuda == {"13.0": True}
    assert catalog.gpus[0].data_centers[0].id == "EU-RO-1"
    assert fake.asked[0][2] == {
        "include": "AVAILABILITY",
        "product": "POD",
        "cloud": "SECURE",
        "count": "2",
        "minCudaVersion": "13.0",
    }


def test_data_centers(fake, api):
    center = {"id": "EU-RO-1", "name": "Romania", "networkVolumeTypes": ["STANDARD"]}
    fake.on("GET", "/v2/catalog/datacenters", {"dataCenters": [center]})
    assert api.data_centers()[0].volume_types == ("STANDARD",)


def test_a_registry_is_created_once_and_an_older_one_is_not_taken_for_it(fake, api):
    old, new = {"id": "old", "name": "ghcr"}, {"id": "new", "name": "ghcr"}
    fake.on("GET", "/v2/registries", {"registries": [old]}, {"registries": [old, new]})
    fake.on("POST", "/v2/registries", problem(500, "oops"))
    assert api.create_registry("ghcr", "me", "hunter2").id == "new"
    assert fake.count("POST", "/v2/registries") == 1
    assert fake.asked[1][3] == {"name": "ghcr", "username": "me", "password": "hunter2"}


def test_a_volume_is_created(fake, api):
    fake.on("GET", "/v2/network-volumes", {"networkVolumes": []})
    answer = {"id": "v1", "name": "cache", "size": 50, "dataCenter": "EU-RO-1"}
    fake.on("POST", "/v2/network-volumes", (201, answer))
    assert api.create_volume("cache", size=50, data_center="EU-RO-1").data_center == "EU-RO-1"
    assert fake.asked[1][3] == {"name": "cache", "size": 50, "dataCenter": "EU-RO-1"}


def test_the_bill_of_one_pod(fake, api):
    record = {"podId": "abc123", "startTime": "a", "endTime": "b", "totalAmount": 0.5}
    fake.on("GET", "/v2/billing/pods", {"records": [record, {**record, "podId": "z"}]})
    bill = api.bill("abc123", since="2026-11-22T12:00:00Z")
    assert [(line.total, line.gpu) for line in bill] == [(0.5, 0.0)]
    assert fake.asked[0][2] == {
        "podId": "abc123",
        "bucketSize": "hour",
        "startTime": "2026-11-22T12:00:00Z",
    }


LOGS = "/v2/pods/abc123/logs"


def event(number, line, source="container"):
    data = json.dumps({"ts": f"t{number}", "source": source, "line": line})
    return f"id: t{number}/{number:012}\ndata: {data}\n\n"


def stream(*events, then=lambda: None):
    """An answer that is written and then left open until ``then`` returns."""
    return 200, "".join(events).encode(), {"Content-Type": "text/event-stream"}, then


def test_the_log_is_one_sequence_over_broken_streams(fake, api):
    fake.on(
        "GET",
        LOGS,
        stream(event(1, "pulling", "system"), event(2, "same"), event(3, "same")),
        problem(503, "busy"),
        stream(event(2, "same"), event(3, "same"), event(4, "same"), event(5, "a")[:-20]),
        DROP,
        stream(event(5, "a"), event(6, "end")),
    )
    lines = (line for line in api.logs("abc123", quiet=5.0) if line is not None)
    assert [(line.id[:2], line.line) for line in islice(lines, 6)] == [
        ("t1", "pulling"),
        ("t2", "same"),
        ("t3", "same"),
        ("t4", "same"),
        ("t5", "a"),
        ("t6", "end"),
    ]
    cursors = [asked[4]["Last-Event-ID"] for asked in fake.asked]
    assert cursors == [
        None,
        "t3/000000000003",
        "t3/000000000003",
        "t4/000000000004",
        "t4/000000000004",
    ]
    assert fake.asked[0][2] == {"tail": "5000"}


def test_lines_that_are_really_the_same_stay(fake, api):
    again = event(1, "step")
    fake.on("GET", LOGS, stream(again, again, again), stream(*[again] * 4, event(2, "end")))
    lines = (line for line in api.logs("abc123") if line is not None)
    assert [line.line for line in islice(lines, 5)] == [*["step"] * 4, "end"]


def test_a_silent_log_lets_the_caller_look_elsewhere(fake, api, slept):
    done = threading.Event()
    fake.on("GET", LOGS, stream(event(1, "one"), then=lambda: done.wait(10)))
    lines = api.logs("abc123", source="system", quiet=0.1)
    assert next(lines).line == "one"
    assert next(lines) is None
    assert next(lines) is None
    done.set()
    assert slept == []
    assert fake.asked[0][2]["source"] == "system"


def test_a_pod_too_young_for_logs_is_waited_for(fake, api):
    fake.on("GET", LOGS, problem(404, "?"), problem(404, "?"), stream(event(1, "hello")))
    found = list(islice(api.logs("abc123"), 3))
    assert found[:2] == [None, None]
    assert found[2].line == "hello"


def test_the_log_of_a_pod_that_is_gone_ends(fake, api, slept):
    with pytest.raises(NotFound):
        list(api.logs("nope"))
    assert 30 < sum(slept) < 120


def test_a_log_that_the_key_may_not_read(fake, api):
    fake.on("GET", LOGS, problem(403, "denied"))
    with pytest.raises(KeyForbidden):
        next(api.logs("abc123"))


def test_events_are_read_with_or_without_blank_lines_comments_and_rubbish():
    text = (
        ": hello\n"
        'id: 1/1\ndata: {"ts":"1","source":"container","line":"first"}\n'  # as the spec's example
        'id:2/2\nevent: log\nretry: 3\ndata: {"ts":"2",\ndata: "line":"two: parts"}\n\n'
        "data: not json\n\n"
        'data: {"line": "no id"}\n\n'
        'data: {"line": "id after"}\nid: 3/3\n\n'
        'id: 4/4\ndata: {"line": "torn'
    )
    found = list(read_events(iter(text.split("\n"))))
    assert found[0] is None
    assert [(line.id, line.line) for line in found[1:] if line] == [
        ("1/1", "first"),
        ("2/2", "two: parts"),
        ("", "no id"),
        ("3/3", "id after"),
    ]


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
