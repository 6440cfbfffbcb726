"""Which rows share a process, and then a micro-batch, in which they lie end to end without padding."""

from collections.abc import Sequence


def first_fit(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Return groups of row indices whose lengths sum to at most ``tokens``; every row is in one.

    First-fit decreasing: at most 11/9 of the fewest groups possible, and one (Johnson 1973). A row
    longer than ``tokens`` is alone.
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for group, free in enumerate(room):
            if lengths[index] <= free:
                groups[group].append(index)
                room[group] -= lengths[index]
                break
        else:
            groups.append([index])
            room.append(tokens - lengths[index])
    return groups


def share(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Return each process's row indices, in order; some have none when there are fewer rows.

    The longest row goes to the process with the fewest tokens, and so on: no process has more than 4/3 of the
    least possible (Graham 1969).
    """
    shares: list[list[int]] = [[] for _ in range(processes)]
    tokens = [0] * processes
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        idlest = tokens.index(min(tokens))
        shares[idlest].append(index)
        tokens[idlest] += lengths[index]
    return [sorted(indices) for indices in shares]
