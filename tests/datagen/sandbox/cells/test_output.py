from hypothesis import given
from hypothesis import strategies as st

from datagen.sandbox.cells.output import CappedText


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(2, 60))
def test_head_and_tail_stay_and_the_middle_is_counted(parts, limit):
    stream = CappedText(limit)
    for part in parts:
        assert stream.write(part) == len(part)
    text = "".join(parts)
    if len(text) <= limit:
        assert stream.value() == text
    else:
        head, tail = text[: limit // 2], text[len(text) - (limit - limit // 2) :]
        left_out = len(text) - limit
        assert stream.value() == f"{head}\n... {left_out} characters left out ...\n{tail}"
