"""The emulator's pods from the inside and over SSH: what a launcher and its supervisor meet."""

import time

import paramiko
import pytest

from tests.system.client import CARD, Client, until
from tests.system.emulator import faults
from tests.system.shell import Shell, host_key, public

pytestmark = pytest.mark.engine
STOP_ITSELF = r"""
export $(tr '\0' '\n' </proc/1/environ | grep ^RUNPOD_)
at=${RUNPOD_API_BASE_URL#http://} body='{"action": "stop"}'
exec 3<>/dev/tcp/${at%:*}/${at#*:}
printf "POST /v2/pods/$RUNPOD_POD_ID/action HTTP/1.1\r\nHost: x\r\n" >&3
printf "Authorization: Bearer $RUNPOD_API_KEY\r\nContent-Length: ${#body}\r\n\r\n$body" >&3
head -n 1 <&3
"""


def test_a_pod_is_a_container_with_sshd_until_deleted(runpod, client, sshd_image, login, engine):
    secret = {"PUBLIC_KEY": public(login), "WORD": "in clear"}
    made = client.create(sshd_image, env=secret)
    assert made.status_code == 201
    assert made.json()["status"] == "PROVISIONING"
    assert made.json()["ssh"]["direct"] is None
    key = made.json()["id"]
    pod = client.status(key, "RUNNING")
    assert pod["env"] == secret
    assert pod["actions"] == ["stop", "restart", "terminate"]
    assert client.line(key, "HOST KEY", source="container") == f"HOST KEY {host_key(pod)}"
    assert client.line(key, "pulling image", source="system").endswith(sshd_image)
    with Shell(pod, login) as shell:
        seen, _ = shell.run("tr '\\0' '\\n' </proc/1/environ")
        shell.run("touch /workspace/kept ~/lost")
    variables = dict(line.split("=", 1) for line in seen.splitlines())
    assert variables["RUNPOD_POD_ID"] == key
    assert variables["RUNPOD_TCP_PORT_22"] == str(pod["ssh"]["direct"]["port"])
    assert variables["RUNPOD_API_BASE_URL"] == runpod.inner_url
    assert variables["WORD"] == "in clear"

    stopped = client.act(key, "stop").json()
    assert (stopped["status"], stopped["cost"], stopped["ssh"]["direct"]) == ("EXITED", 0.0, None)
    assert client.act(key, "start").json()["status"] == "PROVISIONING"
    again = client.status(key, "RUNNING")
    assert again["ssh"]["direct"]["port"] != pod["ssh"]["direct"]["port"]
    assert host_key(again) == host_key(again)
    with Shell(again, login) as shell:
        assert shell.run("ls /workspace/kept; ls ~/lost")[1] != 0
        assert shell.run("ls /workspace/kept")[1] == 0

    assert client.request("DELETE", f"/v2/pods/{key}").status_code == 204
    assert client.get(f"/v2/pods/{key}").status_code == 404
    assert client.get("/v2/pods").json() == {"pods": []}
    runpod.pods[key].life.thread.join(10)
    assert engine.client.containers.list(all=True, filters={"name": key}) == []
    assert engine.client.volumes.list(filters={"name": key}) == []


def test_running_is_told_before_anything_runs(runpod, client, sshd_image):
    runpod.script(faults.RunningEarly(seconds=4))
    key = client.create(sshd_image).json()["id"]
    pod = client.status(key, "RUNNING")
    assert "pulling image" not in " ".join(runpod.pods[key].log.texts())
    with pytest.raises(paramiko.SSHException):
        host_key(pod, patience=0)
    client.line(key, "HOST KEY")
    assert host_key(client.pod(key))


def test_a_container_that_exits_is_started_again_with_a_clean_disk(runpod, client, sshd_image):
    key = client.create(sshd_image, mounts=None).json()["id"]
    pod = client.status(key, "RUNNING")
    client.line(key, "args")
    before = host_key(pod)
    runpod.strike(runpod.pods[key], faults.Exit())
    assert "137" in client.line(key, "container exited")
    until(lambda: len([t for t in runpod.pods[key].log.texts() if t.startswith("HOST")]) == 2)
    after = client.pod(key)
    assert (after["status"], runpod.pods[key].restarts) == ("RUNNING", 1)
    assert after["ssh"]["direct"] == pod["ssh"]["direct"]
    assert host_key(after) != before


def test_the_pods_own_key_may_do_what_it_is_let(runpod, client, sshd_image, login):
    runpod.script(faults.PodKey(may=["stop"], when=faults.When(name="kept")))
    env = {"PUBLIC_KEY": public(login)}
    kept = client.create(sshd_image, name="kept", env=env).json()["id"]
    free = client.create(sshd_image, name="free").json()["id"]
    pod = client.status(kept, "RUNNING")
    client.status(free, "RUNNING")
    with Client(runpod.url, runpod.pods[kept].key) as own:
        assert own.get(f"/v2/pods/{kept}").status_code == 403
        assert own.act(kept, "start").status_code == 403
        assert own.request("DELETE", f"/v2/pods/{kept}").status_code == 403
        assert own.act(free, "stop").status_code == 403
        assert own.get("/v2/pods").status_code == 403
    with Client(runpod.url, runpod.pods[free].key) as own:
        assert own.act(free, "start").status_code == 409
        assert own.request("DELETE", f"/v2/pods/{free}").status_code == 204
    with Shell(pod, login) as shell:
        shell.run("bash", stdin=STOP_ITSELF)  # which may end the session before it answers
    client.status(kept, "EXITED")
    assert [one.status for one in runpod.requests if one.caller == "pod"][-1] == 200


def test_links_can_be_slow_cut_or_led_astray(runpod, client, sshd_image, login):
    key = client.create(sshd_image, env={"PUBLIC_KEY": public(login)}).json()["id"]
    pod = client.status(key, "RUNNING")
    true = client.line(key, "HOST KEY").removeprefix("HOST KEY ")
    live = runpod.pods[key]
    runpod.strike(live, faults.SlowLink(rtt=0.2))
    until(lambda: live.rtt)
    with Shell(pod, login) as shell:
        start = time.monotonic()
        shell.run("true")
        assert time.monotonic() - start > 0.2
        runpod.strike(live, faults.CutLink(down=0.5))
        until(lambda: not shell.alive)
    with pytest.raises(paramiko.SSHException):
        host_key(pod, patience=0)
    until(lambda: time.monotonic() > live.links[22]._down_until)
    assert host_key(pod) == true
    target = live.links[22].target
    runpod.strike(live, faults.Impostor())
    until(lambda: live.links[22].target != target)
    assert host_key(pod) != true
    assert sum(text.startswith("HOST KEY") for text in live.log.texts()) == 1


def test_the_card_speaks_of_an_old_driver_and_a_small_volume_fills(
    runpod, client, sshd_image, login
):
    runpod.script(faults.OldDriver(cuda="12.4"), faults.SmallVolume(megabytes=2))
    key = client.create(
        sshd_image,
        env={"PUBLIC_KEY": public(login)},
        gpu={"id": CARD, "count": 2, "minCudaVersion": "13.0"},
    ).json()["id"]
    pod = client.status(key, "RUNNING")
    assert pod["cudaVersion"] == "13.0"
    with Shell(pod, login) as shell:
        assert "CUDA Version: 12.4" in shell.run("nvidia-smi")[0]
        query = "nvidia-smi --query-gpu=name,memory.total,utilization.gpu --format=csv,noheader"
        assert shell.run(query)[0] == f"{CARD}, 24576 MiB, 90 %\n" * 2
        full = shell.run("head -c 5000000 /dev/zero >/workspace/big")
        assert "No space left" in full[0]
        shell.run("rm /workspace/big; touch /workspace/kept")
        runpod.strike(runpod.pods[key], faults.IdleGpu())
        until(lambda: ", 0 %" in shell.run(query)[0])
    client.act(key, "stop")
    client.act(key, "start")
    with Shell(client.status(key, "RUNNING"), login) as shell:
        assert shell.run("ls /workspace/kept")[1] == 0


def test_a_network_volume_outlives_its_pod_and_holds_it_in_place(client, sshd_image, login, engine):
    env = {"PUBLIC_KEY": public(login)}
    wanted = {"name": "weights", "size": 20, "dataCenter": "US-TX-3"}
    volume = client.post("/v2/network-volumes", wanted).json()["id"]
    at = f"/v2/network-volumes/{volume}"
    assert client.request("PATCH", at, json={"size": 10}).status_code == 400
    assert client.request("PATCH", at, json={"size": 30}).json()["size"] == 30
    mounts = {"network": [{"volumeId": volume, "path": "/workspace"}]}
    for turn in range(2):
        made = client.create(sshd_image, mounts=mounts, env=env).json()
        assert made["dataCenterId"] == "US-TX-3"
        with Shell(client.status(made["id"], "RUNNING"), login) as shell:
            assert (shell.run("ls /workspace/weights")[1] == 0) == (turn == 1)
            shell.run("touch /workspace/weights")
        client.request("DELETE", f"/v2/pods/{made['id']}")
    assert client.request("DELETE", at).status_code == 204
