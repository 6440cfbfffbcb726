"""The filter, interpreted here for both architectures, whatever machine the test runs on."""

import ctypes
import ctypes.util
import errno
import struct

import pytest

from datagen.sandbox.isolation import seccomp, syscalls

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x80000000
STAGES: tuple[seccomp.Stage, ...] = ("outer", "inner")
MACHINES = [("x86_64", 0xC000003E, 0), ("aarch64", 0xC00000B7, 1)]
# read, write, mmap, munmap, futex, exit_group, openat, getrandom, rt_sigreturn, clock_nanosleep
NEEDED = [(0, 63), (1, 64), (9, 222), (11, 215), (202, 98), (231, 94), (257, 56), (318, 278)]


def verdict(machine: str, architecture: int, number: int, *arguments: int) -> int:
    """In a child, where both programs are in force: the stricter answer counts."""
    answers = [one(stage, machine, architecture, number, *arguments) for stage in STAGES]
    return min(answers, key=[KILL, EPERM, ENOSYS, ALLOW].index)


def one(stage: seccomp.Stage, machine: str, architecture: int, number: int, *arguments) -> int:
    code = seccomp.program(machine, stage)
    assert code is not None
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *words)
    at = accumulator = 0
    while True:
        operation, yes, no, value = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
            continue
        holds = {
            0x15: accumulator == value,
            0x35: accumulator >= value,
            0x45: bool(accumulator & value),
        }[operation]
        at += yes if holds else no


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_denied_calls_are_refused_and_needed_ones_pass(machine, architecture, column):
    for name, numbers in syscalls.DENIED.items():
        number = numbers[column]
        if number is not None:
            assert verdict(machine, architecture, number) == EPERM, name
    for numbers in NEEDED:
        assert verdict(machine, architecture, numbers[column]) == ALLOW


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_threads_and_reading_limits_pass(machine, architecture, column):
    def clone(flags):
        return verdict(machine, architecture, syscalls.CLONE[column], flags)

    def prlimit(new):
        return verdict(machine, architecture, syscalls.PRLIMIT[column], 0, 9, new)

    assert (clone(0x3D0F00), clone(0x11), clone(0x4111)) == (ALLOW, EPERM, EPERM)
    assert (prlimit(0), prlimit(1), prlimit(1 << 32)) == (ALLOW, EPERM, EPERM)
    assert verdict(machine, architecture, syscalls.CLONE3[column]) == ENOSYS


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_no_descriptor_signals_another_process(machine, architecture, column):
    for numbers, commands in syscalls.SIGNALLING.items():
        for command in range(max(commands) + 2):
            found = verdict(machine, architecture, numbers[column], 3, command | 1 << 32, 7)
            assert found == (EPERM if command in commands else ALLOW), command


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_unknown_calls_and_other_architectures_do_not_pass(machine, architecture, column):
    assert verdict(machine, architecture, syscalls.NEWEST) in {ALLOW, EPERM}
    assert verdict(machine, architecture, syscalls.NEWEST + 1) == ENOSYS
    assert verdict(machine, architecture, 0x40000000 | 57) == KILL
    assert verdict(machine, 0x40000003, 11) == KILL  # i386, where 11 is execve


@pytest.mark.parametrize(("machine", "architecture", "column"), MACHINES)
def test_server_may_fork_and_kill_and_hand_over_and_nothing_more(machine, architecture, column):
    allowed = {
        name
        for name, numbers in syscalls.DENIED.items()
        if (number := numbers[column]) is not None
        and one("outer", machine, architecture, number) == ALLOW
    }
    assert allowed == syscalls.SERVER_NEEDS - ({"fork"} if column else set())
    assert one("outer", machine, architecture, syscalls.CLONE[column], 0x11) == ALLOW
    assert one("inner", machine, architecture, 0x40000000 | 57) == ALLOW  # the outer one kills


def test_numbers_are_those_of_the_library():
    """libseccomp's tables, where it is installed; it may be older than a call, never wrong."""
    name = ctypes.util.find_library("seccomp")
    if name is None:
        pytest.skip("no libseccomp to compare system call numbers with")
    resolve = ctypes.CDLL(name).seccomp_syscall_resolve_name_arch
    found = 0
    every = {**syscalls.DENIED, "clone": syscalls.CLONE, "clone3": syscalls.CLONE3}
    every |= dict(zip(("fcntl", "ioctl"), syscalls.SIGNALLING, strict=True))
    for call, numbers in {**every, "prlimit64": syscalls.PRLIMIT}.items():
        for (_, architecture, _), number in zip(MACHINES, numbers, strict=True):
            known = resolve(architecture, call.encode())
            assert known in {number, -1} or (number is None and known < 0), call
            found += known >= 0
    assert found > 250


def test_machine_without_a_table_gets_no_filter():
    assert seccomp.program("riscv64", "outer") is None


def test_no_number_is_listed_twice():
    for column in (0, 1):
        listed = [n[column] for n in syscalls.DENIED.values() if n[column] is not None]
        assert len(listed) == len(set(listed))
