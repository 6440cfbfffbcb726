import signal

from launcher.errors import NoCapacity
from trainer.contract.command.errors import INTERNAL_ERROR, Fault, Interrupted


def test_every_fault_has_an_exit_code_of_its_own():
    modules = {Fault.__module__, NoCapacity.__module__}
    kinds = [kind for kind in Fault.__subclasses__() if kind.__module__ in modules]
    every = [INTERNAL_ERROR, *(kind.exit_code for kind in kinds)]
    assert len(every) == len(set(every))
    assert min(every) == 1  # 0 is success
    assert sorted(every)[-2] < 126  # from 126 on a shell has its own meanings
    assert max(every) == Interrupted.exit_code == 128 + signal.SIGINT
