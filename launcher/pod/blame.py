"""Who is at fault when a pod does not start: image, host, account, capacity or link, from one line of a log.

A container runtime wraps a cause in up to seven messages, outermost first: ``failed to create shim task: OCI
runtime create failed: ...: exec: "pod": executable file not found in $PATH``. So the known cause that
ends last in the line decides; a wrapper decides alone only where nothing inside it is known.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Blame(StrEnum):
    """What a failed start is the fault of."""

    HOST = "host"
    IMAGE = "image"
    ACCOUNT = "account"
    CAPACITY = "capacity"
    LINK = "link"

    @property
    def another_card_may_help(self) -> bool:
        """False where every host would fail alike: a second card would only be billed too."""
        return self in {Blame.HOST, Blame.CAPACITY, Blame.LINK}


@dataclass(frozen=True)
class Cause:
    """``text``: the innermost cause, without what the runtime wraps around it."""

    blame: Blame
    text: str


NOT_RUN = r"executable file not found(?: in \$PATH)?|no such file or directory|permission denied"
# Of two causes that end at the same place, the one listed first decides.
CAUSES: dict[Blame, tuple[str, ...]] = {
    Blame.HOST: (
        # Programs of the container runtime itself: they are missing on the host, not in the image.
        r"exec: \W*(?:nvidia|runc|containerd|docker-)[\w.-]*\W*: executable file not found in \$PATH",
        r"fork/exec \S+: (?:no such file or directory|permission denied|exec format error)",
        r"nvidia-container-cli: .*",
        r"unsatisfied condition: .*",
        r"could not select device driver .*",
        r"unknown or invalid runtime name.*|unknown runtime specified.*",
        r"error gathering device information .*",
        r"error setting rlimit.*",
        r"driver failed programming external connectivity.*",
        r"address already in use",
        r"range of CPUs is .*|requested CPUs are not available.*|[^:]*cgroup.*",
        r"no space left on device|no space left",
        r"filesystem layer verification failed.*",
        r"read-only file system|input/output error|cannot allocate memory",
        r"network \S+ not found",
        r"failed to register layer|failed to create (?:shim |containerd )?task|failed to start shim",
        r"OCI runtime create failed|unable to start container process",
        r"error (?:creating|starting) container",
    ),
    Blame.IMAGE: (
        rf"exec:? \W*[^\s:]+?\W*: (?:stat [^:]*: )?(?:{NOT_RUN})",
        r"(?:exec \S+: )?exec format error",
        r"unable to find (?:user|group) .*",
        r"\S+ is not a directory|not a directory",
        r"manifest for \S+ not found|manifest unknown|no matching manifest for .*",
        r"no such image: .*|does not match the specified platform.*",
        r"invalid reference format.*|repository name .*must be lowercase",
        r"missing signature key|error unmarshalling content.*|unknown blob|blob unknown.*",
        r"x509: .*|first record does not look like a TLS handshake|HTTP response to HTTPS client",
        r"error pulling|failed to pull|errimagepull|imagepullbackoff",
    ),
    Blame.ACCOUNT: (
        r"pull access denied for .*",
        r"no basic auth credentials",
        r"unauthorized(?:: .*)?|authentication required|insufficient_scope.*",
        r"toomanyrequests(?:: .*)?",
        r"(?<!permission )denied(?:: .*)?",
    ),
    Blame.CAPACITY: (
        r"(?:there are )?no longer any instances available.*",
        r"(?:there are )?not enough free GPUs on the host machine.*",
    ),
    Blame.LINK: (
        r"dial (?:tcp|udp)\b.*|lookup \S+ on \S+: .*|read tcp .*|write tcp .*",
        r"(?:Get|Head) \S+: (?:context deadline exceeded|net/http: .*|(?:unexpected )?EOF).*",
        r"unexpected HTTP status: 5\d\d.*|expected HTTP 206 from byte range request",
        r"TLS handshake timeout|i/o timeout|connection (?:refused|reset by peer)|unexpected EOF",
        r"network is unreachable|temporary failure in name resolution",
    ),
}
_PATTERNS = [
    (blame, re.compile(pattern, re.IGNORECASE))
    for blame, patterns in CAUSES.items()
    for pattern in patterns
]


def find(line: str) -> Cause | None:
    """The innermost cause of failure in ``line``; None where it reports no failure that is known."""
    best: tuple[int, Cause] | None = None
    for blame, pattern in _PATTERNS:
        for match in pattern.finditer(line):
            if best is None or match.end() > best[0]:
                best = match.end(), Cause(blame, _plain(match[0]))
    return best[1] if best else None


def _plain(text: str) -> str:
    """Without the tail that runtimes add where they know no code for an error."""
    return re.sub(r"(?:: unknown)?[\s\"')\\]*$", "", text)
