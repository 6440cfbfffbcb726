"""Which rows share a forward pass: rows lie end to end in it, without padding."""

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
