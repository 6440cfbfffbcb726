"""Judge: the messages of real container runtimes. tests/system/test_blame.py makes those of Docker again."""

import pytest

from launcher.pod.blame import CAUSES, Blame, find

SHIM = "failed to create shim task: OCI runtime create failed: runc create failed: "
PROCESS = SHIM + "unable to start container process: "
HOOK = (
    PROCESS
    + "error during container init: error running hook #0: exit status 1, stdout: , stderr: "
)
PULL = "error pulling image: Error response from daemon: "
NVIDIA = "nvidia-container-cli: "

# Docker 20.10.24 with runc 1.1 on Debian 12, but for those of NVIDIA's runtime, as users report them in the
# issues named; the registry was the real one, or one that refused in the way named.
MESSAGES = [
    ("image", PROCESS + 'exec: "pod": executable file not found in $PATH: unknown',
     'exec: "pod": executable file not found in $PATH'),
    ("image", PROCESS + 'exec: "/no/such": stat /no/such: no such file or directory: unknown', None),
    ("image", PROCESS + 'exec: "/etc/passwd": permission denied: unknown', None),
    ("image", 'starting container process caused "exec: \\"pod\\": executable file not found in $PATH": unknown', None),
    ("image", 'error starting container: 400 Client Error for http+docker://localhost/v1.41/containers/1/start: Bad Request ("'
     + PROCESS + 'exec: "pod": executable file not found in $PATH: unknown")',
     'exec: "pod": executable file not found in $PATH'),
    ("image", "exec /x: no such file or directory", "exec /x: no such file or directory"),
    ("image", "exec /y: exec format error", "exec /y: exec format error"),
    ("image", "unable to find user nobodyx: no matching entries in passwd file", None),
    ("image", "Cannot mkdir: /etc/passwd is not a directory", None),
    ("image", SHIM + 'error mounting "/v" to rootfs at "/etc/passwd": not a directory: unknown', "not a directory"),
    ("image", PULL + "manifest for me/x:absent not found: manifest unknown: manifest unknown", "manifest unknown"),
    ("image", "no matching manifest for linux/amd64 in the manifest list entries", None),
    ("image", PULL + "missing signature key", "missing signature key"),
    ("image", PULL + "unknown blob", None),
    ("image", PULL + 'Get "https://q.io/v2/": x509: certificate signed by unknown authority', None),
    ("image", PULL + 'Get "https://q.io/v2/": tls: first record does not look like a TLS handshake', None),
    ("image", "error creating container: Error response from daemon: No such image: me/x:latest", None),
    ("image", PULL + "something new", "error pulling"),
    ("account", PULL + "pull access denied for me/x, repository does not exist or may require 'docker login': "
     + "denied: requested access to the resource is denied", None),
    ("account", PULL + 'Head "https://q.io/v2/me/x/manifests/1": no basic auth credentials', "no basic auth credentials"),
    ("account", PULL + "unauthorized", "unauthorized"),
    ("account", PULL + "denied", "denied"),
    ("account", PULL + "toomanyrequests: You have reached your pull rate limit", None),
    ("host", HOOK + "Auto-detected mode as 'legacy'", None),
    # NVIDIA/nvidia-docker#1442, NVIDIA/nvidia-container-toolkit#556, #394 and #416
    ("host", HOOK + NVIDIA + "requirement error: unsatisfied condition: cuda>=13.0, please update your driver: unknown", None),
    ("host", NVIDIA + "requirement error: unsatisfied condition: cuda>=11.0, please update your driver to a newer version", None),
    ("host", HOOK + NVIDIA + "initialization error: driver rpc error: failed to process request: unknown", None),
    ("host", HOOK + NVIDIA + "initialization error: nvml error: driver/library version mismatch: unknown", None),
    ("host", HOOK + NVIDIA + "ldcache error: open failed: /sbin/ldconfig.real: no such file or directory", None),
    ("host", SHIM + 'exec: "nvidia-container-runtime-hook": executable file not found in $PATH: unknown', None),
    ("host", 'failed to start shim: exec: "containerd-shim-runc-v2": executable file not found in $PATH: unknown', None),
    ("host", SHIM + "fork/exec /usr/bin/nvidia-container-runtime-hook: no such file or directory", None),
    ("host", 'could not select device driver "" with capabilities: [[gpu]]', None),
    ("host", "Unknown runtime specified nvidia", None),
    ("host", 'error gathering device information while adding custom device "/dev/nvidia0": no such file or directory', None),
    ("host", PROCESS + "error during container init: error setting rlimits for ready process: "
     + "error setting rlimit type 7: operation not permitted: unknown", None),
    ("host", "driver failed programming external connectivity on endpoint a (1): Error starting userland proxy: listen tcp4 127.0.0.1:5000: bind: address already in use", None),
    ("host", "Requested CPUs are not available - requested 900, available: 0-1", None),
    ("host", "failed to register layer: ApplyLayer exit status 1 stdout:  stderr: write /x: no space left on device",
     "no space left on device"),
    ("host", "filesystem layer verification failed for digest sha256:50b7", None),
    ("host", SHIM + "context deadline exceeded: unknown", None),
    ("host", SHIM + "something new", None),
    ("link", PULL + 'Get "https://nohost.invalid/v2/": dial tcp: lookup nohost.invalid on 10.0.0.1:53: no such host', None),
    ("link", PULL + 'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused', None),
    ("link", PULL + 'Get "http://127.0.0.1:43189/v2/": context deadline exceeded', None),
    ("link", PULL + "received unexpected HTTP status: 503 Service Unavailable", None),
    ("link", "expected HTTP 206 from byte range request", None),
    ("capacity", "There are no longer any instances available with the requested specifications.", None),
    ("capacity", "There are not enough free GPUs on the host machine to start this pod.", None),
]  # fmt: skip


@pytest.mark.parametrize(("blame", "line", "text"), MESSAGES)
def test_the_innermost_cause_decides(blame, line, text):
    found = find(line)
    assert found is not None
    assert found.blame == blame, found
    assert line.count(found.text)
    assert text is None or found.text == text


@pytest.mark.parametrize(
    "line",
    [
        "create container ghcr.io/me/sft@sha256:00",
        "start container",
        "0123456789ab Downloading 10B/20B",
        "0123456789ab Pull complete",
        "restart container",
        "stop container",
        "Status: Downloaded newer image for me/denial:1",
        "",
    ],
)
def test_a_line_without_a_failure_has_no_cause(line):
    assert find(line) is None


def test_a_second_card_is_for_faults_that_another_host_may_not_have():
    assert {one for one in Blame if one.another_card_may_help} == {"host", "capacity", "link"}
    assert CAUSES.keys() == set(Blame)
