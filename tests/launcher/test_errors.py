from launcher import errors
from trainer.contract.command import errors as contract
from trainer.contract.command.errors import Fault


def test_every_fault_has_an_exit_code_of_its_own():
    ours = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault
    }
    assert ours == errors.EXIT_CODES
    every = [*ours.values(), *contract.EXIT_CODES.values(), contract.INTERNAL_ERROR]
    assert len(every) == len(set(every))
    assert all(0 < code < 126 for code in ours.values())
