"""The API's answers, as far as the launcher reads them.

Reading is lenient: an unknown key is ignored, and a field that is missing, null or of a wrong type gets
its default, so that one odd field of one pod cannot keep the launcher from deleting another. Money is in
USD, memory and disks in GB.
"""

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.alias_generators import to_camel

LARGEST = 1e15  # seconds, dollars or gigabytes: beyond what anything here can be


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and abs(value) < LARGEST else value


Text = Annotated[str, StringConstraints(min_length=1)]
Capitals = Annotated[str, StringConstraints(min_length=1, to_upper=True)]
Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Whole = Annotated[int, BeforeValidator(_whole), Field(gt=-LARGEST, lt=LARGEST)]


class Answer(BaseModel):
    """An object of an answer. Its fields are read by the API's names, or by their own."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        coerce_numbers_to_str=True,
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_default(
        cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        field = cls.model_fields[str(info.field_name)]
        try:
            return read(value)
        except ValidationError:
            if field.is_required():
                raise
            return field.get_default()


class Endpoint(Answer):
    """Where a pod's sshd can be reached directly."""

    host: Text
    port: Whole
    user: Text = Field("root", validation_alias="username")


class Port(Answer):
    """A port of a pod as seen from inside and from outside."""

    private: Whole = 0
    public: Whole | None = None
    ip: str = ""


class Pod(Answer):
    """``rate`` is USD per hour now, 0 when stopped; ``uptime`` in seconds."""

    id: str = ""
    name: str = ""
    status: Capitals = "UNKNOWN"
    rate: Number = Field(0.0, validation_alias="cost")
    uptime: Whole | None = Field(None, validation_alias=AliasPath("runtime", "uptime"))
    direct: Endpoint | None = Field(None, validation_alias=AliasPath("ssh", "direct"))
    ports: tuple[Port, ...] = Field((), validation_alias=AliasPath("runtime", "ports"))

    @property
    def stopped(self) -> bool:
        """It has no card and keeps its disk; it may be started or deleted."""
        return self.status == "EXITED"

    @property
    def failed(self) -> bool:
        """Its container does not run, and it is billed; it may be started or deleted, not stopped."""
        return self.status == "ERROR"

    @property
    def deleted(self) -> bool:
        """The API still shows it for a while."""
        return self.status == "TERMINATED"

    @property
    def ssh(self) -> Endpoint | None:
        """The address of sshd, which may be found among the ports only."""
        if self.direct is not None:
            return self.direct
        seen = (port for port in self.ports if port.private == 22 and port.ip)
        return next((Endpoint(host=p.ip, port=p.public) for p in seen if p.public), None)


class Availability(Answer):
    """Availability of a card or a data center: NONE, LOW, MEDIUM, HIGH, or empty when unknown."""

    id: str = ""
    name: str = ""
    availability: Capitals = ""


class Gpu(Availability):
    """A card of the catalog. The price is per card and hour; ``cuda`` maps version to free right now."""

    memory: Whole = 0
    secure: StrictBool = False
    secure_price: Number = Field(0.0, validation_alias=AliasPath("price", "secure"))
    max_count: Whole = Field(0, validation_alias=AliasPath("maxCount", "secure"))
    data_centers: tuple[Availability, ...] = ()
    cuda: dict[str, bool] = Field({}, validation_alias="cudaVersions")

    @field_validator("cuda", mode="before")
    @classmethod
    def _by_version(cls, found: object) -> object:
        if not isinstance(found, list):
            return found
        items = [item for item in found if isinstance(item, dict)]
        return {item.get("version"): item.get("available") is True for item in items}


class Catalog(Answer):
    """``gpus`` as they were at ``read_at`` (Unix seconds), availability for ``count`` cards a pod."""

    read_at: float
    count: int
    gpus: tuple[Gpu, ...]

    @property
    def priced(self) -> bool:
        return any(gpu.secure_price > 0 for gpu in self.gpus)

    def only(self, ids: Collection[str]) -> "Catalog":
        """The same without other cards."""
        return self.model_copy(update={"gpus": tuple(g for g in self.gpus if g.id in ids)})

    def any_stock(self) -> "Catalog":
        """The same, as if every card was free on every kind of its hosts: for a catalog of an earlier day."""
        free = [
            gpu.model_copy(update={"availability": "", "cuda": dict.fromkeys(gpu.cuda, True)})
            for gpu in self.gpus
        ]
        return self.model_copy(update={"gpus": tuple(free)})


class DataCenter(Answer):
    """``volume_types`` is empty where network volumes cannot be had."""

    id: str = ""
    volume_types: tuple[str, ...] = Field((), validation_alias="networkVolumeTypes")


class Registry(Answer):
    """A stored credential for a container registry; the API never returns what is in it."""

    id: str = ""
    name: str = ""


class Volume(Answer):
    """A network volume; it lives in one data center."""

    id: str = ""
    name: str = ""
    size: Whole = 0
    data_center: str = ""


class BillingRecord(Answer):
    """What one pod was charged, USD, within one bucket of time."""

    pod_id: str = ""
    total: Number = Field(0.0, validation_alias="totalAmount")
    gpu: Number = Field(0.0, validation_alias="gpuAmount")
    disk: Number = Field(0.0, validation_alias="diskAmount")


class LogLine(Answer):
    """``source`` is ``container`` (what the pod printed) or ``system`` (pull and lifecycle)."""

    id: str = ""
    time: str = Field("", validation_alias="ts")
    source: str = ""
    line: str = ""


class Page(Answer):
    """Where the list of an answer continues; ``cursor`` is empty on the last page."""

    more: bool = Field(False, validation_alias=AliasPath("pagination", "hasNextPage"))
    cursor: str = Field("", validation_alias=AliasPath("pagination", "nextCursor"))


class Problem(Answer):
    """Why a request is refused (RFC 9457)."""

    title: str = ""
    detail: str = ""
    errors: tuple[Any, ...] = ()
