import pytest
from pydantic import ValidationError

from trainer.contract import pod
from trainer.contract.command.errors import BadJob

SETTINGS = pod.PodSettings(
    run_id="sft-1",
    finish_by=1_800_000_000.25,
    gone_by=1_800_000_600.5,
    upload_seconds=60,
    grace_seconds=30,
    on_deadline="delete",
    limits=pod.Limits(download=1, load=2, no_step=3, idle_gpu=4),
)


def test_settings_survive_the_environment():
    env = SETTINGS.to_env()
    assert pod.PodSettings.from_env(env | {"PATH": "/bin", "SFT_EVENTS_FD": "3"}) == SETTINGS
    assert all(name.startswith("SFT_") for name in env)
    assert all(isinstance(value, str) for value in env.values())


def test_what_is_not_in_the_environment_has_its_default():
    found = pod.PodSettings.from_env(
        {"SFT_RUN_ID": "a", "SFT_FINISH_BY": "10", "SFT_GONE_BY": "20", "SFT_LIMIT_LOAD": "5"}
    )
    assert (found.upload_seconds, found.grace_seconds, found.on_deadline) == (900, 900, "stop")
    assert found.limits.model_dump() == {
        "download": 1800,
        "load": 5,
        "no_step": 900,
        "idle_gpu": 900,
        "evaluate": 3600,
    }
    assert found.limits.model_copy(update={"load": 900}) == pod.Limits()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("SFT_FINISH_BY", 0.5),
        ("SFT_GONE_BY", 0.5),
        ("SFT_UPLOAD_SECONDS", 1),
        ("SFT_GRACE_SECONDS", 0),
        ("SFT_LIMIT_DOWNLOAD", 1),
        ("SFT_LIMIT_LOAD", 1),
        ("SFT_LIMIT_NO_STEP", 1),
        ("SFT_LIMIT_IDLE_GPU", 1),
        ("SFT_LIMIT_EVALUATE", 1),
    ],
)
def test_a_time_that_is_none_is_refused(name, least):
    env = SETTINGS.to_env()
    assert pod.PodSettings.from_env(env | {name: str(least)}).to_env()[name] == str(least)
    with pytest.raises(BadJob) as caught:
        pod.PodSettings.from_env(env | {name: str(-0.5 if least == 0.5 else least - 1)})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [name]


def test_what_a_pod_was_told_does_not_change():
    with pytest.raises(ValidationError):
        SETTINGS.gone_by = 2e9  # type: ignore[misc]
    with pytest.raises(ValidationError):
        SETTINGS.limits.load = 10**6  # type: ignore[misc]


def test_a_wrong_environment_names_each_variable():
    env = SETTINGS.to_env() | {"SFT_GONE_BY": "soon", "SFT_LIMIT_LOAD": "x"}
    del env["SFT_FINISH_BY"]
    with pytest.raises(BadJob) as caught:
        pod.PodSettings.from_env(env)
    assert {fault.partition(":")[0] for fault in caught.value.faults} == {
        "SFT_GONE_BY",
        "SFT_FINISH_BY",
        "SFT_LIMIT_LOAD",
    }


@pytest.mark.parametrize("run_id", ["", "../a", "a b", "a/b"])
def test_a_run_id_is_one_plain_word(run_id):
    with pytest.raises(BadJob):
        pod.PodSettings.from_env(SETTINGS.to_env() | {"SFT_RUN_ID": run_id})


def test_host_key_there_and_back():
    line = pod.host_key_line("sft-1", 3, "ssh-ed25519 AAAAC3Nza+/x= root@pod")
    assert line == "sft-launch host-key run=sft-1 boot=3 ssh-ed25519 AAAAC3Nza+/x="
    assert pod.parse_host_key(line, "sft-1") == (3, "ssh-ed25519 AAAAC3Nza+/x=")
    assert pod.parse_host_key(f"2026-11-22T10:00:00Z {line}\n", "sft-1") is not None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sft-launch host-key run=sft-2 boot=3 ssh-ed25519 AAAA",
        "sft-launch host-key run=sft-0 boot=3 ssh-ed25519 AAAA",
        "sft-launch host-key run=sft-11 boot=3 ssh-ed25519 AAAA",
        "sft-launch host-key run=sft-1 boot=x ssh-ed25519 AAAA",
        "sft-launch host-key run=sft-1 boot=3 ssh-rsa AAAA",
        "sft-launch host-key run=sft-1 boot=3 ssh-ed25519 AAAA and more",
    ],
)
def test_other_lines_are_no_host_key(line):
    assert pod.parse_host_key(line, "sft-1") is None


def test_names_of_uploads():
    digest = "0" * 63 + "a"
    assert pod.uploaded_sha256(pod.upload_name(digest)) == digest
    for other in ("data.jsonl", "inbox/data", f"../inbox/{digest}", f"inbox/x/{digest}", digest):
        assert pod.uploaded_sha256(other) is None


def test_names_of_uploaded_models():
    digest = "0" * 63 + "a"
    for path in ("/home/me/model", "/a:b"):
        assert pod.uploaded_model(pod.model_name(digest, path)) == (digest, path)
    upload = pod.upload_name(digest)
    for other in (upload, f"{upload}:", f"{upload}:model", "/model", "Qwen/Qwen:/model", ":/model"):
        assert pod.uploaded_model(other) is None


def test_paths():
    assert str(pod.inbox("r")) == "/workspace/sft/r/inbox"
    assert str(pod.run_folder("r")) == "/workspace/sft/r/run"
