"""The local Docker engine: reached as the ``docker`` command reaches it, its errors as faults."""

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from launcher.errors import NoEngine, PushRefused

if TYPE_CHECKING:
    from launcher.docker_engine.config import Logins

SOCKET = "/var/run/docker.sock"
REMEDY = "install Docker (https://docs.docker.com/engine/install) and start it, or see: docker info"
TIMEOUT = 600  # seconds without a byte: a layer of gigabytes is packed in silence
DENIED = re.compile(
    r"denied|unauthorized|authentication|no basic auth|insufficient_scope", re.IGNORECASE
)
ENVIRONMENT = (
    "correct DOCKER_HOST, or use this machine's engine: "
    "unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH"
)
CONTEXT = "use this machine's engine: unset DOCKER_CONTEXT; docker context use default"
PERMIT = "allow this user to use Docker: sudo usermod -aG docker $USER, then log in again"


def connect(logins: "Logins") -> Any:
    """A ``docker.DockerClient`` that answers; the package has no types. Raises ``NoEngine``."""
    import docker
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    address, remedy = "the address in DOCKER_HOST", ENVIRONMENT
    try:
        how = kwargs_from_env()  # DOCKER_HOST and its kin
        if "base_url" not in how:
            address = f"the address of context {logins.context}"
            remedy = CONTEXT if logins.context else REMEDY
            context = ContextAPI.get_context(logins.context or "default")
            if context is None:
                raise LookupError("the context is missing, see: docker context ls")
            how = {"base_url": context.Host, "tls": context.TLSConfig}
        address = str(how["base_url"])
        _listening(address)
        client = docker.DockerClient(**how, version="auto", timeout=TIMEOUT)
    except Exception as error:  # noqa: BLE001 - the package raises any kind over what a user's files contain
        denied = isinstance(error, PermissionError)
        raise NoEngine(
            f"no Docker engine answers at {address} ({_reason(error)})",
            PERMIT if denied else remedy,
        ) from None
    client.api._auth_configs = logins  # noqa: SLF001
    return client


def _reason(error: Exception) -> str:
    """The innermost cause: the package wraps an OSError in up to four others."""
    said = str(getattr(error, "strerror", None) or error)
    inner = re.findall(r"\[Errno -?\d+\] ([^'\")]+)", said)
    return inner[-1] if inner else (said.splitlines() or [type(error).__name__])[0]


def _listening(address: str) -> None:
    """Look first: where nothing listens the package would leave its socket open."""
    scheme, _, path = address.partition("://")
    if scheme.endswith("unix"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"/{path.lstrip('/')}" if path else SOCKET)


@contextmanager
def explained(what: str, remedy: str = "see: docker info") -> Iterator[None]:
    """Inside, what the engine refuses becomes a ``NoEngine`` that begins with ``what``."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        raise NoEngine(f"{what}: {error.explanation or error}", remedy) from None
    except (docker.errors.DockerException, OSError) as error:  # a lost connection is an OSError
        raise NoEngine(f"{what}: {error}", remedy) from None


def stream(what: str, answer: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines of an answer that comes bit by bit, each waited for as in ``explained``."""
    lines = iter(answer)
    while True:
        with explained(what):
            line = next(lines, None)
        if line is None:
            return
        yield line


def has_nvidia(client: Any) -> bool:
    """Whether containers of this engine can be given GPUs."""
    with explained("the Docker engine does not answer docker info"):
        return "nvidia" in client.info().get("Runtimes", {})


def is_rootless(client: Any) -> bool:
    """Whether the engine itself runs as an ordinary user, whom it takes for root inside."""
    with explained("the Docker engine does not answer docker info"):
        return any("rootless" in one for one in client.info().get("SecurityOptions") or [])


def version(client: Any) -> str:
    """Of the engine."""
    with explained("the Docker engine does not answer docker version"):
        return str(client.version()["Version"])


def architecture(client: Any) -> str:
    """Of the machine that the engine runs on: ``amd64``, ``arm64``."""
    with explained("the Docker engine does not answer docker info"):
        return str(client.version().get("Arch", ""))


def logins(client: Any) -> "Logins":
    """Those that ``client`` uses."""
    found: Logins = client.api._auth_configs  # noqa: SLF001
    return found


def refused(repository: str, said: str, *, client: Any) -> PushRefused:
    """The fault for the error text ``said`` with which a registry refused a push."""
    host = registry_of(repository)
    if DENIED.search(said):
        _, failed = logins(client).login(host)
        why = f"{said}; {failed}" if failed else said
        return PushRefused(
            f"{host} does not let you push to {repository} ({why})",
            f"{logins(client).remedy(host)} (a token that may write packages), "
            "or name another repository with --image-repo",
        )
    return PushRefused(f"push to {repository} failed: {said}", "run the same command again")


def registry_of(repository: str) -> str:
    """The host in a repository's name, as Docker reads it."""
    first, slash, _ = repository.partition("/")
    named = slash and (set(first) & {".", ":"} or first == "localhost")
    return first if named else "docker.io"
