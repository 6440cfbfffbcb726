"""What a person would doubt in a reading is among the notes, or is read as a person would read it.

Expected values are written from what a person sees in the file; where pandas.read_csv, the csv module or
DuckDB's sniffer can judge, they do.
"""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from datagen.episodes.run_questions import table_ref
from datagen.questions.cells import Cells
from datagen.questions.joining import keys
from datagen.tables.infer import ReadingOptions, Table, infer, read_as
from datagen.tables.table import TableProfile, bundled_tables, profile_table
from trainer.contract.command.errors import BadData


def write(folder: Path, content: str | bytes, name: str = "t") -> Path:
    path = folder / f"{name}.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, **given) -> Table:
    path = write(folder, content)
    table = infer(path, ReadingOptions(**given))
    assert_frame_equal(read_as(path, table.reading).frame, table.frame)
    profile = profile_table(path, table.reading)
    assert table_ref(profile, folder).model_dump_json()
    same_cells(profile, table.frame)
    return table


def same_cells(profile: TableProfile, frame: pd.DataFrame) -> None:
    """The questions' own route to the table, which uses the csv module, gives the same values."""
    cells = Cells.of(profile)
    assert cells.rows == len(frame)
    for column in profile.columns:
        name, dated = column.name, column.kind == "date"
        found: list = cells.dates(name) if dated else cells.values(name)
        expected = pd.to_datetime(frame[name]) if dated else frame[name]
        known = zip(expected.tolist(), expected.isna(), strict=True)
        assert found == [None if gap else value for value, gap in known], name


def values(table: Table, name: str) -> list:
    return [None if pd.isna(value) else value for value in table.frame[name].tolist()]


def column(*texts: str, name: str = "x", delimiter: str = ",") -> str:
    """A CSV with this column and another one."""
    return f"{name}{delimiter}other\n" + "".join(f"{text}{delimiter}z\n" for text in texts)


def unsampled(usual: str, *odd: str) -> str:
    """A long column with odd values in the middle, between two of the blocks that make the sample."""
    middle = 75_500
    return column(*[usual] * middle, *odd, *[usual] * (150_000 - middle))


@pytest.mark.parametrize("odd", ["inf", "-Infinity", "1e400", "-1E999"])
def test_numbers_that_are_not_finite_keep_a_column_out_of_arithmetic(tmp_path, odd):
    content = column("1.5", odd, "2", "3.5", "4")
    table = read(tmp_path, content)
    assert values(table, "x") == ["1.5", odd, "2", "3.5", "4"]
    option = f"--missing{'=' if odd[0] == '-' else ' '}{odd!r}"
    assert table.notes == (f"x: left as text: {odd!r} is not a finite number ({option})",)
    assert not profile_table(tmp_path / "t.csv").amounts()
    assert values(read(tmp_path, content, missing=(odd,)), "x") == [1.5, None, 2, 3.5, 4]
    with pytest.raises(BadData, match="is not a number"):
        read(tmp_path, content, kinds={"x": "number"})


def test_a_late_infinite_number_counts_too(tmp_path):
    assert infer(write(tmp_path, unsampled("1.5", "1e400"))).notes == (
        "x: left as text: '1e400' is not a finite number (--missing '1e400')",
    )


@pytest.mark.parametrize(
    "written", ["C2 ", " C2", "\u00a0C2", "C2\u200b", "\ufeffC2", "C\u00ad2", "\u3000C2\t", '" C2"']
)
def test_blanks_and_invisible_characters_are_left_out(tmp_path, written):
    plain, odd = column("C1", "C2", "C3", "C2", name="k"), column("C1", written, "C3", name="k")
    table = read(tmp_path, odd)
    assert values(table, "k") == ["C1", "C2", "C3"]
    (note,) = table.notes
    assert note.startswith("k: blanks or invisible characters are left out, so that ")
    assert note.endswith(" is read as 'C2'")
    left = profile_table(write(tmp_path, plain, "left"))
    assert keys([left, profile_table(tmp_path / "t.csv")]) == [("k", "k")]
    assert not left.notes


def test_no_break_blanks_inside_text_are_blanks(tmp_path):
    table = read(tmp_path, column("New\u00a0York", "New York", "Ulm"))
    assert values(table, "x") == ["New York", "New York", "Ulm"]
    assert table.notes == ("x: no-break blanks are read as blanks, as in 'New\\xa0York'",)
    joined = "\u0645\u06cc\u200c\u062e"  # Persian: the joiner is part of the word
    assert values(read(tmp_path, column(joined, "Ulm")), "x") == [joined, "Ulm"]


def test_blanks_alone_are_missing_and_do_not_make_numbers_text(tmp_path):
    """As in the Telco churn table, whose TotalCharges hold blanks."""
    table = read(tmp_path, column("29.85", " ", "108.15"))
    assert values(table, "x") == [29.85, None, 108.15]
    assert values(read(tmp_path, column("5 ", " NA ", "7")), "x") == [5, None, 7]
    assert values(read(tmp_path, column(" yes", "no ", "yes")), "x") == [True, False, True]


def test_a_header_that_ends_with_a_delimiter(tmp_path):
    """As in Kaggle's breast-cancer table; the csv module gives the same rows."""
    content = '"id","diagnosis","radius_mean",\n842302,M,17.99\n842517,M,20.57\n843009,B,11.42\n'
    table = read(tmp_path, content)
    assert [*table.frame.columns] == ["id", "diagnosis", "radius_mean"]
    rows = [*csv.reader(io.StringIO(content))][1:]
    assert table.frame.astype(str).to_numpy().tolist() == rows
    with pytest.raises(BadData, match="3 fields, the header has 4"):
        read(tmp_path, "a,b,c,\n1,2,3\n4,5,6,7\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [("\ufb01eld", "field"), ("m²", "m2"), ("\u212b", "\u00c5"), ("Größe", "größe")],
)
def test_names_that_look_alike(tmp_path, one, other):
    table = read(tmp_path, f"{one},{other}\n1,2\n3,4\n5,6\n")
    assert [*table.frame.columns] == [one, other]
    assert table.notes == (f"two columns have names that look alike: {one!r} and {other!r}",)
    again = read(tmp_path, "a\u200b,a\n1,2\n3,4\n")
    assert [*again.frame.columns] == ["a", "a.1"]


NO_HEADER = [
    "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,3.1,virginica\n",
    "1,Ann\n2,Bob\n3,Cid\n",
    "2024-01-31,Ann\n2024-02-28,Bob\n",
    "x,12\ny,7\nx,9\nx,4\n",
]
HEADER = [
    "country,1960,1961,1962\nUlm,1,2,3\nJena,2,3,4\n",
    "name,2020\nAnn,1\nBob,2\n",
    "1,2,3\n5,6,7\n8,9,10\n",
    "a,b\n1,x\n2,y\n",
    "x,y\nx,1\nx,2\n",
]


@pytest.mark.parametrize("content", NO_HEADER)
def test_a_first_line_of_values_is_doubted(tmp_path, content):
    (note,) = (note for note in read(tmp_path, content).notes if "--no-header" in note)
    assert "looks like a value" in note
    table = read(tmp_path, content, header=False)
    expected = pd.read_csv(io.StringIO(content), header=None)
    assert [*table.frame.columns] == [f"column_{at}" for at in range(1, len(expected.columns) + 1)]
    assert table.frame.to_numpy().tolist() == expected.to_numpy().tolist()
    assert not [note for note in table.notes if "header" in note]


@pytest.mark.parametrize("content", HEADER)
def test_a_header_is_not_doubted(tmp_path, content):
    assert not read(tmp_path, content).notes


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("<!DOCTYPE html>\n<html><body>a, b</body></html>\n", "an HTML page"),
        ("\n  <html lang='en'>\n<p>1,2</p>\n", "an HTML page"),
        ('<?xml version="1.0"?>\n<rows><row a="1"/></rows>\n', "XML"),
        ('{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n', "JSON lines"),
        ('[{"a": 1}, {"a": 2}]\n', "JSON"),
        ('[\n  {"a": 1},\n  {"a": 2}\n]\n', "JSON"),
        ('{\n  "a": [1, 2]\n}\n', "JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a Git LFS pointer"),
        (b"BZh91AY", "compressed with bzip2"),
    ],
)
def test_other_formats_are_refused_by_name(tmp_path, content, what):
    with pytest.raises(BadData, match=f"t.csv: not a CSV but {what}: ") as caught:
        infer(write(tmp_path, content))
    assert caught.value.hint
    if isinstance(content, str):
        with pytest.raises(BadData, match=f"not a CSV but {what}: "):
            infer(write(tmp_path, content.encode("utf-16")))


def test_braces_and_brackets_alone_do_not_make_json(tmp_path):
    for name in ("{a}", "[x]", "{", '"{""a"": 1}"'):
        assert len(read(tmp_path, f"{name},b\n1,2\n3,4\n").frame) == 2


@pytest.mark.parametrize(
    ("texts", "expected", "kept"),
    [
        (["-999", "?", "5", "7", "-999"], [None, None, 5, 7, None], [-999, None, 5, 7, -999]),
        (["-999,0", "5,5", "-", "-999,0"], [None, 5.5, None, None], [-999, 5.5, None, -999]),
        (["-999", "-99", "12", "-99", "-999"], [None, None, 12, None, None], None),
        (["$-999", "$-999", "$5"], [None, None, 5], None),
    ],
)
def test_stand_in_numbers_are_found_beside_other_stand_ins(tmp_path, texts, expected, kept):
    content = column(*texts, delimiter=";")
    assert values(read(tmp_path, content), "x") == expected
    if kept:
        assert values(read(tmp_path, content, kept=("-999",)), "x") == kept


@pytest.mark.parametrize(
    ("texts", "number"),
    [
        (["-1", "12", "30", "-1"], -1),
        (["-999", "5", "7", "8"], -999),
        (["99", "3", "99", "4"], 99),
        (["?", "9999", "5", "9999"], 9999),
        (["-1", "1", "0", "-1"], None),
        (["-1", "2.5", "30", "-1"], None),
        (["-1", "-2", "30", "-1"], None),
    ],
)
def test_stand_in_numbers_that_are_not_taken_are_noted(tmp_path, texts, number):
    notes = read(tmp_path, column(*texts)).notes
    assert notes == (
        (f"x: {number} is a value, not missing (--missing {number})",) if number else ()
    )


@pytest.mark.parametrize("text", ["NA", "None", "null", "nan"])
def test_words_that_pandas_takes_for_missing_are_noted(tmp_path, text):
    content = column(text, "DE", "FR", name="country")
    table = read(tmp_path, content)
    assert pd.read_csv(tmp_path / "t.csv")["country"].isna().tolist() == [True, False, False]
    assert values(table, "country") == [None, "DE", "FR"]
    note = f"country: {text!r} is missing, not a value (--not-missing {text})"
    assert table.notes == (note,)
    again = read(tmp_path, content, kept=(text,))
    assert (values(again, "country"), again.notes) == ([text, "DE", "FR"], ())
    assert note.replace("country", "x") in infer(write(tmp_path, unsampled("DE", text))).notes
    assert not read(tmp_path, column("5", text, "7")).notes


def test_a_kept_word_does_not_make_another_columns_numbers_text(tmp_path):
    table = read(tmp_path, "country,n\nNA,5\nDE,NA\nFR,7\n", kept=("NA",))
    assert (values(table, "country"), values(table, "n")) == (["NA", "DE", "FR"], [5, None, 7])
    assert table.notes == ("n: 'NA' is missing: all other values are of kind number",)


@pytest.mark.parametrize("texts", [["2E2", "3E1"], ["1E3", "101", "205"]])
def test_codes_with_an_e_are_no_numbers(tmp_path, texts):
    table = read(tmp_path, column(*texts))
    assert values(table, "x") == texts
    (note,) = table.notes
    assert note == f"x: left as text: {texts[0]!r} may be a code (--kind 'x=number')"
    told = read(tmp_path, column(*texts), kinds={"x": "number"})
    assert values(told, "x") == [float(text) for text in texts]
    assert not read(tmp_path, column("2.5e2", "1e-5", "3E+07")).notes
    (said,) = read(tmp_path, column("1e5", "20")).notes
    assert said == "x: '1e5' is read as 100000 (--kind 'x=text')"


@pytest.mark.parametrize("gap", ["", "NA", "?"])
def test_long_whole_numbers_keep_their_digits_beside_gaps(tmp_path, gap):
    numbers = [2**53 + 1, None, 2**53 + 3, -(2**62) - 1]
    table = read(tmp_path, column(*(gap if n is None else str(n) for n in numbers)))
    assert values(table, "x") == numbers
    assert str(table.frame["x"].dtype) == "Int64"
    late = infer(write(tmp_path, unsampled("5", gap, str(2**53 + 1))))
    assert values(late, "x")[75_500:75_502] == [None, 2**53 + 1]
    if gap == "":
        long = infer(write(tmp_path, unsampled("5", gap, str(2**64 + 1))))
        assert values(long, "x")[75_501] == str(2**64 + 1)


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_the_line_that_excel_reads_names_the_delimiter(tmp_path, first):
    table = read(tmp_path, first + "a;b\n1;x, y\n2;z\n")
    assert table.frame.to_dict("list") == {"a": [1, 2], "b": ["x, y", "z"]}
    assert (table.reading.skip_lines, table.reading.delimiter) == (1, ";")
    expected = pd.read_csv(tmp_path / "t.csv", sep=";", skiprows=1)
    assert table.frame.to_dict("list") == expected.to_dict("list")
    assert [*read(tmp_path, "sep=size;b\n1;x\n2;y\n").frame.columns] == ["sep=size", "b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_above_the_header_can_be_skipped(tmp_path, encoding, end):
    content = end.join(["Büro 2025", "Stand, heute", "name,Größe", "Ann,1", "Jürgen,2", ""])
    table = read(tmp_path, content.encode(encoding), skip_lines=2)
    assert table.frame.to_dict("list") == {"name": ["Ann", "Jürgen"], "Größe": [1, 2]}
    with pytest.raises(BadData, match=":7: 3 fields, the header has 2"):
        read(tmp_path, (content + f"a,b{end}1,2,3{end}").encode(encoding), skip_lines=2)


def test_two_digit_years_beyond_this_year(tmp_path):
    """strptime reads 55 as 2055; a day of birth is not."""
    content = column("13.02.55", "14.03.21", "01.01.99")
    table = read(tmp_path, content)
    assert values(table, "x") == ["13.02.55", "14.03.21", "01.01.99"]
    (note,) = table.notes
    assert note.startswith("x: left as text: the year of '13.02.55' may be 2055 or 1955")
    assert values(read(tmp_path, content, formats={"x": "%d.%m.%y"}), "x")[0].year == 2055
    past = read(tmp_path, column("13.02.21", "14.03.69"))
    assert ([day.year for day in values(past, "x")], past.notes) == ([2021, 1969], ())


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_thousands_with_a_point(tmp_path, delimiter):
    content = column("1.250", "3.500", delimiter=delimiter)
    table = read(tmp_path, content)
    assert values(table, "x") == [1.25, 3.5]
    assert table.notes == ("x: '1.250' is read as 1.25; with --decimal ',' it is 1250",)
    assert values(read(tmp_path, content, decimal=","), "x") == [1250, 3500]
    proven = content.replace("z", "2.75")
    assert not read(tmp_path, proven).notes
    assert not read(tmp_path, column("1.25", "3.500", delimiter=delimiter)).notes
    assert not read(tmp_path, column("0.250", "3.500", delimiter=delimiter)).notes
    assert not read(tmp_path, column("1.250", "3.500")).notes


def test_a_decimal_mark_that_another_column_proves_is_not_doubted(tmp_path):
    assert not read(tmp_path, 'a,b\n"1,234","$2,000.50"\n"5,678","$3.25"\n').notes


@pytest.mark.parametrize(
    "offsets", [("+01:00", "+02:00"), ("+0100", "+0200"), ("Z", "+01"), ("-05", "-04")]
)
def test_offsets_that_change_with_summer_time(tmp_path, offsets):
    texts = [f"2024-0{at + 3}-30T12:00:00{offset}" for at, offset in enumerate(offsets)]
    table = read(tmp_path, column(*texts))
    expected = [pd.Timestamp(text[:19]) for text in texts]
    assert values(table, "x") == expected
    (note,) = table.notes
    assert all(offset in note for offset in offsets)
    assert "those of the clock where they were written" in note
    assert not read(tmp_path, column(texts[0], texts[0])).notes


def test_times_of_several_zones_are_not_compared(tmp_path):
    content = column("2024-03-30T12:00:00+01:00", "2024-03-30T12:00:00-05:00")
    table = read(tmp_path, content)
    assert values(table, "x")[0] == "2024-03-30T12:00:00+01:00"
    assert "left as text: its times are of several zones (+01:00, -05:00)" in table.notes[0]
    told = read(tmp_path, content, formats={"x": "%Y-%m-%dT%H:%M:%S%z"})
    assert values(told, "x") == [pd.Timestamp("2024-03-30 12:00")] * 2


@pytest.mark.parametrize("broken", [b"Caf\xe9", b"Stra\xc3", b"\xff"])
def test_a_broken_byte_does_not_change_the_encoding_of_the_others(tmp_path, broken):
    rows = "Müller,1\nJürgen,2\nCafé,3\nKraków,4\n".encode() * 3
    table = read(tmp_path, b"name,n\n" + rows + broken + b",5\n")
    assert values(table, "name")[:4] == ["Müller", "Jürgen", "Café", "Kraków"]
    assert values(table, "name")[-1] == broken.decode("utf-8", "replace")
    (note,) = table.notes
    assert note.startswith(
        "encoding: some bytes are not UTF-8, the first in line 14: read as '\ufffd'"
    )
    with pytest.raises(BadData, match=r"t\.csv:14: not utf-8"):
        read(tmp_path, b"name,n\n" + rows + broken + b",5\n", encoding="utf-8-sig")
    cut = read(tmp_path, b"n,name\n" + "1,Müller\n2,Jürgen\n3,Kraków".encode()[:-2])
    assert values(cut, "name") == ["Müller", "Jürgen", "Krak\ufffd"]


def test_two_delimiters_that_fit(tmp_path):
    (note,) = read(tmp_path, "city, land;size, m\nUlm, DE;5, 2\nJena, DE;7, 3\n").notes
    assert note.startswith("the delimiter is ','")
    assert "';' also gives" in note
    assert not read(tmp_path, "a;b\n1,5;2\n2,5;3\n").notes


@pytest.mark.parametrize(
    ("name", "texts", "said"),
    [
        ("day", ["20240131", "20240228", "20240301"], "days such as 20240131 (--date-format 'day="),
        ("created_at", ["1700000000", "1700000100", "1700090000"], "Unix time in seconds"),
        ("ts", ["1700000000000", "1700000100000", "1700090000000"], "Unix time in milliseconds"),
        ("date", ["45000", "45001", "45010"], "Excel's day numbers"),
        ("price", ["45000", "45001", "45010"], None),
        ("parts", ["20240199", "20240228", "20240301"], None),
    ],
)
def test_whole_numbers_that_are_moments_are_no_amounts(tmp_path, name, texts, said):
    table = read(tmp_path, column(*texts, name=name))
    profile = profile_table(tmp_path / "t.csv")
    assert (profile.columns[0].meaning == "calendar") == bool(said)
    assert any(said in note for note in table.notes) if said else not table.notes
    if name == "day":
        told = read(tmp_path, column(*texts, "", name=name), formats={"day": "%Y%m%d"})
        assert values(told, "day")[::3] == [pd.Timestamp("2024-01-31"), None]


@pytest.mark.parametrize(
    ("name", "numbers", "meaning"),
    [
        ("row", range(101, 131), "identifier"),
        ("place", range(130, 100, -1), "identifier"),
        ("year", range(1990, 2020), "calendar"),
        ("dose", range(10, 20), "amount"),
        ("dose", [*range(10, 30), 12], "amount"),
        ("dose", range(10, 60, 2), "amount"),
    ],
)
def test_rows_that_are_numbered_are_no_amounts(tmp_path, name, numbers, meaning):
    read(tmp_path, column(*map(str, numbers), name=name))
    assert profile_table(tmp_path / "t.csv").columns[0].meaning == meaning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (column("Ulm", "ulm", "Jena"), "x: 'Ulm' and 'ulm' are two values"),
        (column("5 kg", "7 kg"), "x: left as text: numbers with 'kg' after them"),
        (column("'a'", "'b'"), "x: its values stand in single quotes"),
        (column("JosÃ©", "Ann"), "x: 'JosÃ©' seems to have been 'José'"),
        ("city,n\nUlm,1\nJena,2\nTotal,3\n", "the last row ('Total') seems to add up"),
        ("city,n\nUlm,1\ncity,n\nJena,2\n", "the header is repeated in 1 rows"),
        (column("2024-01-02", "9999-12-31", "9999-12-31"), "x: 9999-12-31 is a value 2 times"),
        (column("31.01.2024", "01.01.1900", "01.01.1900"), "x: 1900-01-01 is a value 2 times"),
        ("name  size\nUlm   5 x\nJena  7 y\nBonn  7 y\n", "the columns may be aligned by blanks"),
    ],
)
def test_what_else_a_person_would_doubt(tmp_path, content, said):
    assert [note for note in read(tmp_path, content).notes if said in note]


def test_codes_of_two_letters_are_values(tmp_path):
    assert not read(tmp_path, column("ND", "NY", "CA")).notes


def test_bundled_tables_have_no_notes_but_those_on_na():
    noted = {path.stem: profile_table(path).notes for path in bundled_tables()}
    assert {name: notes for name, notes in noted.items() if notes} == {
        "penguins": ("sex: 'NA' is missing, not a value (--not-missing NA)",)
    }


@pytest.mark.parametrize(
    "content",
    [
        "a;b;c\n1;x;2.5\n2;y;3.5\n3;z;4.5\n",
        "a\tb\n1\tx, y\n2\tz\n",
        "id,day,flag\n1,2024-01-31,true\n2,2024-02-28,false\n",
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,3.1,virginica\n",
    ],
)
def test_the_sniffer_of_duckdb_reads_the_same(tmp_path, content):
    duckdb = pytest.importorskip("duckdb")
    path = write(tmp_path, content)
    sniffed = duckdb.sql(f"select Delimiter, HasHeader, SkipRows from sniff_csv('{path}')")
    ((delimiter, header, skipped),) = sniffed.fetchall()
    table = infer(path)
    assert (table.reading.delimiter, table.reading.skip_lines) == (delimiter, skipped)
    assert any("--no-header" in note for note in table.notes) != header
