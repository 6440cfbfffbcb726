"""The launcher's own faults, beside those of ``trainer.contract.command.errors``; one exit code each."""

from collections.abc import Sequence

from trainer.contract.command.errors import Fault


class NoCapacity(Fault):
    """RunPod has no such card free now; another card may be free."""

    exit_code = 20


class PaymentRequired(Fault):
    """The RunPod balance is too low; no other card will succeed."""

    exit_code = 21


class KeyRejected(Fault):
    """RunPod does not accept the API key."""

    exit_code = 22


class KeyForbidden(Fault):
    """The API key lacks the permission for this request; another card may be allowed."""

    exit_code = 23


class BadRequest(Fault):
    """The API does not accept the request.

    ``status`` 422: it does not match the contract, never repeat it. ``status`` 400: it breaks a rule, or
    this combination cannot be placed; when every candidate ends so, the request is wrong.
    """

    exit_code = 24

    def __init__(
        self, cause: str, hint: str = "", *, faults: Sequence[str] = (), status: int = 400
    ) -> None:
        super().__init__(cause, hint, faults=faults)
        self.status = status


class ApiUnavailable(Fault):
    """The API is unreachable, fails, or answers with something other than REST v2."""

    exit_code = 25


class HostKeyChanged(Fault):
    """The server at the pod's SSH port has another host key than the pod."""

    exit_code = 26


class ConnectionLost(Fault):
    """The SSH connection failed or broke; trying again may succeed."""

    exit_code = 27


class OverBudget(Fault):
    """The run would exceed --max-cost or --max-hours."""

    exit_code = 28


class WrongState(Fault):
    """The pod's state does not allow this action."""

    exit_code = 29


class PodRefused(Fault):
    """The pod refused a request: SSH key not authorised, disk full, or command failed."""

    exit_code = 30


class PodFailed(Fault):
    """The pod did not start, or it stopped or disappeared before the run was complete."""

    exit_code = 31


class NoEngine(Fault):
    """No Docker engine answers, or the engine reports an error."""

    exit_code = 32


class BuildFailed(Fault):
    """The image cannot be built."""

    exit_code = 33


class PushRefused(Fault):
    """The registry refuses the image."""

    exit_code = 34


class BrokenJournal(Fault):
    """A run's journal has an invalid line; the message names the line."""

    exit_code = 35
