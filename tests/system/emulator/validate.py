"""Request bodies and queries, held to the API's contract: unknown keys, types, bounds.

A field may be left out, which is not the same as ``null``: that is refused wherever the API does not
name it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from tests.system.emulator.problems import Problem


def _whole(value: Any) -> Any:
    """A number as JSON Schema counts: 202.0 and 2.02e2 are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Name = Annotated[str, StringConstraints(min_length=1)]
Cuda = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Key = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[^\s]+ [^\s]+([ \t][^\n\r]*)?$")]
Request = TypeVar("Request", bound="Body")

NULLABLE = {"registry"}
WORDS = {
    "extra_forbidden": "additional properties '{key}' not allowed",
    "missing": "missing property '{key}'",
}


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Persistent(Body):
    size: Whole = Field(ge=10)
    path: str


class Network(Body):
    volumeId: str
    path: str


class Mounts(Body):
    persistent: Persistent | None = None
    network: list[Network] | None = Field(default=None, max_length=1)


class Gpu(Body):
    id: str
    count: Whole = Field(default=0, ge=1)
    allowedCudaVersions: list[Cuda] = []
    minCudaVersion: Cuda = ""
    minRamPerGpu: Whole = Field(default=0, ge=1)
    minVcpuCountPerGpu: Whole = Field(default=0, ge=1)


class Cpu(Body):
    id: Name
    vcpuCount: Whole = Field(ge=2)


class Container(Body):
    image: str = ""
    args: str = ""
    entrypoint: list[str] = []
    cmd: list[str] = []
    disk: Whole = Field(default=20, ge=1)
    env: dict[str, str] = {}
    ports: list[str] = []
    registry: str | None = None
    mounts: Mounts = Mounts()
    templateId: str = ""


class CreatePod(Container):
    name: Name
    templateId: Name = ""
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    cpu: Cpu | None = None
    dataCenterIds: list[str] = []
    globalNetworking: bool = False
    gpu: Gpu | None = None
    startJupyter: bool = False
    startSsh: bool = False


class UpdatePod(Container):
    name: Name = ""
    locked: bool = False
    globalNetworking: bool = False


class PodAction(Body):
    action: Literal["start", "stop", "restart", "terminate"]


class SshKeys(Body):
    keys: list[Key]


class CreateRegistry(Body):
    name: Name
    username: Name
    password: Name


class CreateVolume(Body):
    name: Name
    size: Whole = Field(ge=10, le=4096)
    dataCenter: Name
    type: Literal["STANDARD", "HIGH_PERFORMANCE"] = "STANDARD"


class UpdateVolume(Body):
    name: Name = ""
    size: Whole = Field(default=0, ge=10, le=4096)


def body(model: type[Request], document: Any) -> Request:
    """`document` as a `model`.

    Raises:
        Problem: 422, one entry in ``errors`` for each fault.
    """
    errors = [f"{path}: got null" for path in _nulls(document, "$")]
    try:
        if not errors:
            return model.model_validate(document)
    except ValidationError as fault:
        errors = [_told(error) for error in fault.errors()]
    raise Problem(422, "Request validation failed.", errors=errors)


def _nulls(document: Any, path: str) -> Iterator[str]:
    if document is None:
        yield path
    if isinstance(document, dict):
        for key, value in document.items():
            if key not in NULLABLE:
                yield from _nulls(value, f"{path}.{key}")


def _told(error: Mapping[str, Any]) -> str:
    *parents, last = error["loc"] or ("",)
    words = WORDS.get(error["type"])
    if words:
        return f"{_path(parents)}: {words.format(key=last)}"
    return f"{_path(error['loc'])}: {error['msg'].lower()}"


def _path(parts: Any) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def invalid(where: str, what: str) -> Problem:
    return Problem(422, "Request validation failed.", errors=[f"{where}: {what}"])


def integer(
    query: Mapping[str, str], key: str, default: int, *, least: int, most: int | None = None
) -> int:
    """A whole number from a query, within its bounds.

    Raises:
        Problem: 422.
    """
    text = query.get(key, str(default))
    try:
        value = _whole(json.loads(text))
    except ValueError:
        value = None
    if type(value) is not int or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise invalid(f"query.{key}", f"want an integer {bounds}, got '{text}'")
    return value


def boolean(query: Mapping[str, str], key: str) -> bool | None:
    """``true`` or ``false`` from a query; None where it is absent.

    Raises:
        Problem: 422.
    """
    text = query.get(key)
    if text not in {None, "true", "false"}:
        raise invalid(f"query.{key}", f"want true or false, got '{text}'")
    return None if text is None else text == "true"


def words(
    query: Mapping[str, str], key: str, allowed: tuple[str, ...] | None = None, *, like: str = ".*"
) -> list[str]:
    """A comma-separated list from a query; empty where it is absent.

    Raises:
        Problem: 422, a word that is not among `allowed`, or not of the form `like`.
    """
    found = query[key].split(",") if key in query else []
    for word in found:
        if allowed is not None and word not in allowed:
            raise invalid(f"query.{key}", f"'{word}' is not one of {', '.join(allowed)}")
        if not re.fullmatch(like, word):
            raise invalid(f"query.{key}", f"'{word}' is not of the form {like}")
    return found
