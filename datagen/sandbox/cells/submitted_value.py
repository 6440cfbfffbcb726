"""What ``submit()`` and ``hook()`` take, as JSON values. Runs inside the episode child.

Missing values (None, NaN, NaT, NA) become None; the judge treats None as "missing". Infinities,
frames and other objects are refused by an error in the cell, which the model can read and mend.
"""

import datetime as dt
import hashlib
import json
import math
from typing import Any

import numpy as np
import pandas as pd

from datagen.sandbox.messages import MAX_ANSWER_CHARS

MAX_DEPTH = 20
MAX_HOOK_CHARS = 16_384

ACCEPTED = "text, a number, a bool, None, a date, a list, a dict, a Series, an Index or an array"


def to_answer(value: object) -> Any:
    """Convert a submitted value to JSON; raises TypeError or ValueError worded for the model."""
    answer = _convert(value, depth=0)
    size = len(json.dumps(answer, allow_nan=False))
    if size > MAX_ANSWER_CHARS:
        raise ValueError(
            f"submit() takes at most {MAX_ANSWER_CHARS} characters; this answer has {size}"
        )
    return answer


def to_hook_value(value: object) -> Any:
    """Convert a hook's value; what is not plain or is large is described instead. Never raises."""
    if isinstance(value, pd.DataFrame):
        return _describe_frame(value)
    try:
        converted = _convert(value, depth=0)
        text = json.dumps(converted, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"type": type(value).__name__}
    if len(text) > MAX_HOOK_CHARS:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"type": type(value).__name__, "characters": len(text), "sha256": digest}
    return converted


def _convert(value: object, *, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("submit(): the answer is nested too deeply")
    if isinstance(value, np.ndarray | pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        value = value.tolist()
    elif isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if value is None or value is pd.NA or value is pd.NaT or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple | range):
        return [_convert(item, depth=depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_convert(item, depth=depth + 1) for item in value), key=json.dumps)
    if isinstance(value, dict):
        return {_key(key): _convert(item, depth=depth + 1) for key, item in value.items()}
    return _date(value)


def _number(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("submit(): an infinite number is not an answer")
    return None if math.isnan(value) else float(value)


def _date(value: object) -> str | None:
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return None
        value = pd.Timestamp(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, pd.Period):
        return str(value)
    raise TypeError(f"submit() takes {ACCEPTED}; this is a {type(value).__name__}")


def _key(key: object) -> str:
    plain = _convert(key, depth=MAX_DEPTH - 3)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _describe_frame(frame: pd.DataFrame) -> dict[str, Any]:
    try:
        hashes = pd.util.hash_pandas_object(frame, index=True).to_numpy()
        digest = hashlib.sha256(hashes.tobytes()).hexdigest()
    except TypeError:
        digest = None
    return {
        "type": "DataFrame",
        "rows": len(frame),
        "columns": [str(column) for column in frame.columns[:100]],
        "sha256": digest,
    }
