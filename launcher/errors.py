"""The launcher's own faults, beside those of ``trainer.contract.errors``; one exit code each."""

from collections.abc import Sequence

from trainer.contract.errors import Fault


class NoCapacity(Fault):
    """RunPod has no such card free at the moment; another candidate may do."""

    exit_code = 20


class PaymentRequired(Fault):
    """The account's balance does not cover it; no candidate will succeed."""

    exit_code = 21


class KeyRejected(Fault):
    """The API does not know the key."""

    exit_code = 22


class KeyForbidden(Fault):
    """The key is known but may not do this; another candidate may be allowed."""

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
    """The API cannot be reached, fails, or answers something that is not REST v2."""

    exit_code = 25


class HostKeyChanged(Fault):
    """Whoever answers at the pod's SSH port does not have the pod's host key."""

    exit_code = 26


class ConnectionLost(Fault):
    """The SSH connection could not be made or broke; it may be tried again."""

    exit_code = 27


class OverBudget(Fault):
    """It would cost more than the cap allows."""

    exit_code = 28


class WrongState(Fault):
    """The pod is in a state in which this action is not allowed."""

    exit_code = 29


class PodRefused(Fault):
    """The pod was reached and said no: key not authorised, disk full, command failed."""

    exit_code = 30


class PodFailed(Fault):
    """The pod did not come up, stopped, or is gone before its work was done."""

    exit_code = 31


class NoEngine(Fault):
    """No Docker engine answers, or it cannot do what is asked of it."""

    exit_code = 32


class BuildFailed(Fault):
    """The image cannot be built."""

    exit_code = 33


class PushRefused(Fault):
    """The registry does not take the image."""

    exit_code = 34


class BrokenJournal(Fault):
    """A run's journal is not as a launcher wrote it; the message names the line."""

    exit_code = 35


EXIT_CODES: dict[str, int] = {
    kind.__name__: kind.exit_code
    for kind in (
        NoCapacity,
        PaymentRequired,
        KeyRejected,
        KeyForbidden,
        BadRequest,
        ApiUnavailable,
        HostKeyChanged,
        ConnectionLost,
        OverBudget,
        WrongState,
        PodRefused,
        PodFailed,
        NoEngine,
        BuildFailed,
        PushRefused,
        BrokenJournal,
    )
}
