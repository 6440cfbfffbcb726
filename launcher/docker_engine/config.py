"""Docker's own configuration of this user, checked, and the logins to registries that it names.

Where a credential helper is missing or fails, the ``docker`` command continues without a login;
the docker package raises. ``Logins`` does what the command does, and keeps the helper's reason.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from docker.auth import AuthConfig, decode_auth
from docker.credentials import Store
from docker.credentials.errors import CredentialsNotFound, StoreError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from launcher.errors import NoEngine


class _Login(BaseModel):
    auth: str | None = None
    identitytoken: str | None = None

    @field_validator("auth")
    @classmethod
    def _decodes(cls, value: str | None) -> str | None:
        try:
            if value:
                decode_auth(value)
        except ValueError:
            # No value of a login may stand in a message.
            raise ValueError("not the base64 form of user:password") from None
        return value


class _File(BaseModel):
    """The parts of ``config.json`` that the docker package reads."""

    model_config = ConfigDict(strict=True)
    auths: dict[str, _Login] | None = None
    store: str | None = Field(default=None, alias="credsStore")
    helpers: dict[str, str] | None = Field(default=None, alias="credHelpers")
    context: str | None = Field(default=None, alias="currentContext")
    headers: dict[str, str] | None = Field(default=None, alias="HttpHeaders")
    proxies: dict[str, dict[str, str]] | None = None


class _Helper(Store):  # type: ignore[misc]
    """A credential helper. One that is missing or fails has no login; ``fault`` is the reason."""

    def __init__(self, program: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's, where the helper is missing
            super().__init__(program)
        self.fault = ""

    def get(self, server: str) -> dict[str, str]:
        self.fault = ""
        try:
            told = super().get(server)
            return {key: str(told[key]) for key in ("Username", "Secret")}
        except CredentialsNotFound:
            raise
        except (StoreError, ValueError, KeyError, TypeError) as error:
            self._note(error)
            raise CredentialsNotFound(self.fault) from None

    def list(self) -> dict[str, str]:
        try:
            return dict(super().list())
        except (StoreError, ValueError, TypeError):
            return {}  # a registry that needs a login will say so

    def _note(self, error: Exception) -> None:
        if self.exe is None:
            self.fault = f"{self.program} is not installed"
        elif isinstance(error, StoreError):
            said = " ".join(str(error).removeprefix("Credentials store ").split())
            self.fault = said.replace(' ".', '"')
        else:
            self.fault = f"{self.program} does not print a login"


class Logins(AuthConfig):  # type: ignore[misc]
    """The logins that the docker package uses. ``context`` names the engine; empty for the default one."""

    is_empty = False  # where it is, the package reads the file once more, by its own rules

    def __init__(self, entries: dict[str, Any], path: Path, context: str) -> None:
        super().__init__(entries)
        self.path = path
        self.context = context

    @classmethod
    def read(cls, variable: Callable[[str], str], home: Path) -> Self:
        """The configuration as it is now; a file that is missing or empty has nothing in it.

        Raises:
            NoEngine: the file cannot be read, or Docker would not understand it.
        """
        path = Path(variable("DOCKER_CONFIG") or home / ".docker") / "config.json"
        try:
            file = _File.model_validate_json(path.read_text("utf-8").strip() or "{}")
        except (FileNotFoundError, NotADirectoryError):
            file = _File()
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid(path, str(getattr(error, "strerror", None) or error)) from None
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            raise _invalid(path, f"{where}: {what}".removeprefix(": ")) from None
        entries = {
            host: {key: value for key, value in login.model_dump().items() if value}
            for host, login in (file.auths or {}).items()
        }
        logins = {"auths": cls.parse_auth(entries), "credHelpers": file.helpers or {}}
        context = variable("DOCKER_CONTEXT") or file.context or ""
        return cls({**logins, "credsStore": file.store}, path, context.removeprefix("default"))

    def login(self, registry: str) -> tuple[str, str]:
        """Where the login to ``registry`` comes from, empty without one; and what failed meanwhile.

        A password is read, and dropped.
        """
        helper = self.get_credential_store(registry)
        if helper and self._resolve_authconfig_credstore(registry, helper):
            return f"docker-credential-{helper}", ""
        fault = self._get_store_instance(helper).fault if helper else ""
        return str(self.path) if self.resolve_authconfig(registry) else "", fault

    def remedy(self, registry: str) -> str:
        """How to get a working login to ``registry``."""
        helper = self.get_credential_store(registry)
        if self.login(registry)[1]:
            return f"install or repair docker-credential-{helper}, or remove it from {self.path}; then: docker login {registry}"
        return f"log in with: docker login {registry}"

    def _get_store_instance(self, name: str) -> _Helper:
        if name not in self._stores:
            self._stores[name] = _Helper(name)
        helper: _Helper = self._stores[name]
        return helper


def _invalid(path: Path, reason: str) -> NoEngine:
    return NoEngine(
        f"the Docker configuration {path} is invalid ({reason})", "correct the file, or delete it"
    )
