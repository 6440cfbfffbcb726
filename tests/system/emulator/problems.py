"""What goes wrong, as the API says it: RFC 9457 bodies."""

from http import HTTPStatus
from typing import Any

from aiohttp import web

NO_CAPACITY = "There are no longer any instances available with the requested specifications."
HOST_FULL = "There are not enough free GPUs on the host machine to start this pod."


class Problem(Exception):
    """An answer that is not a success. `detail` is for people; the API has no machine codes."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors is not None:
            told["errors"] = self.errors
        return told


def response(problem: Problem) -> web.Response:
    return web.json_response(
        problem.body(),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )
