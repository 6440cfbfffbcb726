"""A random table written in a random dialect reads back equal; random bytes make a frame or a Fault."""

import csv
import datetime as dt
import io
import string
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from datagen.tables.csv_layout import DELIMITERS
from datagen.tables.infer import ReadingOptions, infer, read_as
from trainer.contract.command.errors import Fault

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
LATIN = string.ascii_letters + "äöüßéèñçÄÖÜ"
NASTY = LATIN + " ,;|\t\n\"'.-%$()0123456789"
FORMATS = ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d %H:%M:%S", "%d %b %Y", "%Y-%m-%d"]


@dataclass
class Dialect:
    delimiter: str
    encoding: str
    newline: str
    quoting: int
    decimal: str
    thousands: str
    missing: str
    currency: str
    padding: str
    named: bool
    header: bool


@st.composite
def dialects(draw):
    decimal = draw(st.sampled_from(".,"))
    return Dialect(
        delimiter=draw(st.sampled_from(DELIMITERS)),
        encoding=draw(st.sampled_from(ENCODINGS)),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        decimal=decimal,
        thousands=draw(st.sampled_from(["", "'", " ", "," if decimal == "." else "."])),
        missing=draw(st.sampled_from(["", "NA", "?", "-", "n/a"])),
        currency=draw(st.sampled_from(["", "$", "€"])),
        padding=draw(st.sampled_from(["", "", " ", "\u00a0", "  "])),
        named=draw(st.booleans()),
        header=draw(st.sampled_from([True, True, False])),
    )


FIRST = dt.datetime(1980, 1, 1)  # noqa: DTZ001 - tables know no zone
NAMES = st.text(LATIN, max_size=3).map("name".__add__)  # mostly ASCII, as Western names are
WHOLE = st.integers(-(10**12), 10**12)
TEXTS = st.text(NASTY, min_size=0, max_size=12).map(lambda text: "ü" + text + "z")
MOMENTS = st.integers(0, 80 * 365 * 86400).map(lambda s: FIRST + dt.timedelta(seconds=s))


@st.composite
def columns(draw, rows: int):
    kind = draw(st.sampled_from(["integer", "number", "text", "date", "boolean"]))
    gaps = draw(st.booleans()) and rows > 3
    if kind == "integer":
        cells = draw(st.lists(WHOLE, min_size=rows, max_size=rows))
        form = ""
    elif kind == "number":
        cells = [x / 100 for x in draw(st.lists(WHOLE, min_size=rows, max_size=rows))]
        form = ""
        cells[0] = (
            1234567.89  # both marks at least once: without them there is more than one reading
        )
    elif kind == "text":
        cells, form = draw(st.lists(TEXTS, min_size=rows, max_size=rows)), ""
    elif kind == "date":
        cells = draw(st.lists(MOMENTS, min_size=rows, max_size=rows))
        form = draw(st.sampled_from(FORMATS))
        cells[0] = FIRST + dt.timedelta(days=30, seconds=3723)
        if "%H" not in form:
            cells = [cell.replace(hour=0, minute=0, second=0) for cell in cells]
    else:
        cells, form = draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), ""
        cells[:2] = [True, False]
    holes = draw(st.sets(st.integers(2, rows - 1), max_size=rows - 3)) if gaps else set()
    return kind, form, [None if at in holes else cell for at, cell in enumerate(cells)]


@st.composite
def tables(draw):
    rows = draw(st.integers(2, 8))
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return {name: draw(columns(rows)) for name in names}


def grouped(digits: str, mark: str) -> str:
    return f"{int(digits):,}".replace(",", mark)


def write(kind: str, form: str, value: Any, dialect: Dialect) -> str:
    if value is None:
        return dialect.missing
    if kind == "integer":
        return str(value)
    if kind == "number":
        whole, _, rest = f"{abs(value):.2f}".partition(".")
        text = grouped(whole, dialect.thousands) + dialect.decimal + rest
        return ("-" if value < 0 else "") + dialect.currency + text
    if kind == "date":
        return str(value.strftime(form))
    return {True: "yes", False: "no"}[value] if kind == "boolean" else str(value)


def expected(kind: str, form: str, cells: list) -> list:
    if kind == "date" and form == "%Y-%m-%d":
        return [cell and cell.strftime(form) for cell in cells]
    return cells


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), dialects())
def test_random_table_in_a_random_dialect_reads_back_equal(table, dialect):
    out = io.StringIO(newline="")
    writer = csv.writer(
        out, delimiter=dialect.delimiter, quoting=dialect.quoting, lineterminator=dialect.newline
    )
    if dialect.named:
        out.write(f"sep={dialect.delimiter}{dialect.newline}")
    if dialect.header:
        writer.writerow(table)
    else:
        table = {f"column_{at}": made for at, made in enumerate(table.values(), 1)}
    written = [
        [write(kind, form, c, dialect) + dialect.padding for c in cells]
        for kind, form, cells in table.values()
    ]
    writer.writerows(zip(*written, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(out.getvalue().encode(dialect.encoding))
        found = infer(path, ReadingOptions(header=dialect.header))
        assert_frame_equal(read_as(path, found.reading).frame, found.frame)
    assert [*found.frame.columns] == [*table]
    for name, (kind, form, cells) in table.items():
        got = [None if pd.isna(value) else value for value in found.frame[name].tolist()]
        assert got == expected(kind, form, cells), name


CHARACTERS = st.text('abe,;|\t\n\r" 0123456789.-+$€%()?:/ü\0\u00a0\u200bZ', max_size=200)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        CHARACTERS.map(lambda text: text.encode()),
        st.tuples(CHARACTERS, st.sampled_from(ENCODINGS)).map(
            lambda pair: pair[0].encode(pair[1], "replace")
        ),
        st.tuples(st.sampled_from([b"a,b\n", b"\xff\xfe", b"\xef\xbb\xbf"]), st.binary()).map(
            b"".join
        ),
    )
)
@example(b"\xff\xfea")
@example(b'a,b\n"')
@example(b"a\n\x00\n")
@example(b"\r")
@example(b"sep=;")
@example(b"a,b,\n1,2\n\n")
@example(b"a\ninf\n-inf\n")
@example("a\n\u200b\n\u00a0\n".encode())
@example("\u00fc\n\u00fc\n".encode() + b"\xff\n")
def test_any_bytes_make_a_frame_or_a_fault(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        try:
            found = infer(path)
        except Fault as fault:
            said = fault
        else:
            assert len(found.frame)
            assert_frame_equal(read_as(path, found.reading).frame, found.frame)
            return
    assert str(path) in said.cause
    assert said.hint
