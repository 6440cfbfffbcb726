"""What submit() takes and what it becomes."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from datagen.sandbox.cells.submitted_value import MAX_HOOK_CHARS, to_answer, to_hook_value


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("a b", "a b"),
        (3, 3),
        (10**30, 10**30),
        (2.5, 2.5),
        (True, True),
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.float32(0.5), 0.5),
        (np.int64(4), 4),
        (np.bool_(False), False),
        (np.str_("x"), "x"),
        ([np.float64("nan")], [None]),
        (np.array(7), 7),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.Series([1.0, None]), [1.0, None]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series(["a", None], dtype="str"), ["a", None]),
        (pd.Series(["a", "b"], dtype="str").unique(), ["a", "b"]),
        (pd.Series(["a"], dtype="category"), ["a"]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.Index(["p", "q"]), ["p", "q"]),
        (pd.MultiIndex.from_tuples([("a", 1)]), [["a", 1]]),
        (pd.to_datetime(["2024-02-03"]), ["2024-02-03T00:00:00"]),
        (pd.Timestamp("2024-02-03 04:05"), "2024-02-03T04:05:00"),
        (np.datetime64("2024-02-03"), "2024-02-03T00:00:00"),
        (np.datetime64("NaT"), None),
        (dt.date(2024, 2, 3), "2024-02-03"),
        (pd.Period("2024-02", freq="M"), "2024-02"),
        ((1, "a", None), [1, "a", None]),
        (range(3), [0, 1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ({"k": np.int8(1), 2: [pd.NA], True: "t"}, {"k": 1, "2": [None], "true": "t"}),
        ({("a", 1): 2}, {'["a", 1]': 2}),
    ],
)
def test_values_become_json(value, answer):
    found = to_answer(value)
    assert found == answer
    assert type(found) is type(answer)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [1]}),
        object(),
        1j,
        b"bytes",
        len,
        pd.Timedelta("1D"),
        np.timedelta64(1, "D"),
        pd.Interval(0, 1),
        [1, object()],
        (x for x in "ab"),
    ],
)
def test_other_values_are_a_clear_type_error(value):
    with pytest.raises(TypeError, match=r"submit\(\) takes text, a number, .*; this is a "):
        to_answer(value)


def test_infinite_huge_and_endless_values_are_refused():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="infinite"):
        to_answer([float("-inf")])
    with pytest.raises(ValueError, match="at most 1000000 characters"):
        to_answer("x" * 1_000_001)
    with pytest.raises(ValueError, match="nested too deeply"):
        to_answer(endless)


def test_hook_describes_what_it_cannot_carry():
    frame = pd.DataFrame({"a": [1, 2]})
    described = to_hook_value(frame)
    assert (described["type"], described["rows"], described["columns"]) == ("DataFrame", 2, ["a"])
    assert described["sha256"] == to_hook_value(frame.copy())["sha256"]
    assert described["sha256"] != to_hook_value(frame + 1)["sha256"]
    assert to_hook_value(pd.DataFrame({"a": [[1], {}]}))["sha256"] is None
    assert to_hook_value("x" * MAX_HOOK_CHARS)["characters"] == MAX_HOOK_CHARS + 2
    assert to_hook_value(float("inf")) == {"type": "float"}
    assert to_hook_value([1, None]) == [1, None]
