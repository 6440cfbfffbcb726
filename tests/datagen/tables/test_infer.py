"""Files as people have them: each gives the frame a person means, and its Reading gives it again."""

import time
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from datagen.episode import Reading
from datagen.tables.column_names import unique_names
from datagen.tables.infer import ReadingOptions, Table, infer, read_as
from datagen.tables.missing_values import DEFAULT
from trainer.contract.command.errors import BadData

NAN = float("nan")
EMPTY = pd.Series([NAN, NAN])


def read(folder: Path, content: str | bytes, written: str = "utf-8", **given) -> Table:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(written))
    table = infer(path, ReadingOptions(**given))
    assert_frame_equal(read_as(path, table.reading).frame, table.frame)
    assert Reading.model_validate_json(table.reading.model_dump_json()) == table.reading
    return table


def values(table: Table, name: str) -> list:
    column = table.frame[name]
    return [None if pd.isna(value) else value for value in column.tolist()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter(tmp_path, delimiter):
    content = f"a{delimiter}b\n1{delimiter}x\n2{delimiter}y, z; w\n".replace(
        "y, z; w", '"y, z; w\t|"'
    )
    table = read(tmp_path, content)
    assert table.reading.delimiter == delimiter
    assert values(table, "b") == ["x", "y, z; w\t|"]


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", False),
        ("utf-8-sig", False),
        ("cp1252", True),
        ("latin-1", True),
        ("utf-16", False),
        ("utf-16-le", False),
        ("utf-16-be", False),
        ("utf-32", False),
    ],
)
def test_encoding(tmp_path, encoding, guessed):
    content = "Straße,Wert\nMünchner Allee,1\nCafé-Weg,2\nGroßer Platz,3\n"
    table = read(tmp_path, content, encoding)
    assert [*table.frame.columns] == ["Straße", "Wert"]
    assert values(table, "Straße") == ["Münchner Allee", "Café-Weg", "Großer Platz"]
    assert any("is a guess" in note and "Straße" in note for note in table.notes) == guessed


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1250", ["Kraków", "Łódź", "Gdańsk", "Poznań"]),
        ("cp1251", ["Москва", "Казань", "Самара", "Омск"]),
        ("cp932", ["東京", "大阪", "名古屋", "札幌"]),
        ("euc_kr", ["서울", "부산", "대구", "인천"]),
    ],
)
def test_encodings_that_can_only_be_guessed(tmp_path, encoding, words):
    content = "id,city\n" + "".join(f"{at},{word}\n" for at, word in enumerate(words))
    assert values(read(tmp_path, content, encoding), "city") == words
    assert values(read(tmp_path, content, encoding, encoding=encoding), "city") == words


@pytest.mark.parametrize(
    ("texts", "expected", "dtype"),
    [
        (["1,5", "2,25"], [1.5, 2.25], "float64"),
        (["1.234,50 €", "12,00 €"], [1234.5, 12.0], "float64"),
        (["$1,234.50", "-$3.00"], [1234.5, -3.0], "float64"),
        (["1 234 567", "12"], [1234567, 12], "int64"),
        (["1\u202f234,5", "2\u202f000,0"], [1234.5, 2000.0], "float64"),
        (["1'234.5", "999.0"], [1234.5, 999.0], "float64"),
        (["(1,234.50)", "3.25"], [-1234.5, 3.25], "float64"),
        (["USD 12", "USD 7"], [12, 7], "int64"),
        (["45%", "5 %"], [45, 5], "int64"),
        (["\u22125", "+3"], [-5, 3], "int64"),
        (["12,50-", "1,25"], [-12.5, 1.25], "float64"),
        (["1e5", "2"], [100000.0, 2.0], "float64"),
    ],
)
def test_numbers_as_people_write_them(tmp_path, texts, expected, dtype):
    content = "n;t\n" + "".join(f"{text};x\n" for text in texts)
    table = read(tmp_path, content)
    assert values(table, "n") == expected
    assert str(table.frame["n"].dtype) == dtype


@pytest.mark.parametrize(
    "texts",
    [
        ["192.168.0.1", "10.0.0.2"],
        ["1.2.3", "1.2.4"],
        ["KLM 12", "BAW 9"],
        ["01234", "99999"],
        ["+491701234567", "+491701234568"],
        ["12345678901234567890", "2"],
        ["USD 5", "EUR 6"],
        ["5%", "6"],
        ["1.234.56", "1"],
        ["1,23,456", "2"],
        ["012 345", "030 123"],
        ["1234 567", "12 345"],
        ["--5", "5"],
        ["12:30", "13:45"],
        ["1-2", "3-4"],
        ["+", "-"],
    ],
)
def test_what_looks_like_numbers_and_is_none_stays_as_it_is_written(tmp_path, texts):
    content = "n;t\n" + "".join(f"{text};x\n" for text in texts)
    assert values(read(tmp_path, content), "n") == texts


def test_units_are_told(tmp_path):
    reading = read(tmp_path, "a;b;c\n5 €;45%;1\n6 €;50%;2\n").reading
    assert reading.units == {"a": "€", "b": "%"}


def test_one_column_may_have_another_decimal_mark(tmp_path):
    table = read(tmp_path, "lat;price;tax\n48.85;1,5;2,5\n2.351;2,75;3,5\n")
    assert (table.reading.decimal, table.reading.decimals) == (",", {"lat": "."})
    assert (values(table, "lat"), values(table, "tax")) == ([48.85, 2.351], [2.5, 3.5])


def test_number_with_two_readings_is_said(tmp_path):
    content = 'n,t\n"1,234",x\n"2,500",y\n'
    table = read(tmp_path, content)
    assert values(table, "n") == [1234, 2500]
    assert "n: '1,234' is read as 1234; with --decimal ',' it is 1.234" in table.notes
    other = read(tmp_path, content, decimal=",")
    assert (values(other, "n"), other.notes) == ([1.234, 2.5], ())
    assert values(read(tmp_path, content, thousands=","), "n") == [1234, 2500]


@pytest.mark.parametrize(
    ("texts", "form"),
    [
        (["13.02.2024", "1.3.2024"], "%d.%m.%Y"),
        (["13.02.24", "01.03.24"], "%d.%m.%y"),
        (["02/13/2024", "03/01/2024"], "%m/%d/%Y"),
        (["13/02/2024", "01/03/2024"], "%d/%m/%Y"),
        (["13-02-2024", "01-03-2024"], "%d-%m-%Y"),
        (["2024-2-13", "2024-3-1"], "%Y-%m-%d"),
        (["2024.02.13", "2024.03.01"], "%Y.%m.%d"),
        (["13 Feb 2024", "1 Mar 2024"], "%d %b %Y"),
        (["13-Feb-24", "01-Mar-24"], "%d-%b-%y"),
        (["Feb 13, 2024", "Mar 1, 2024"], "%b %d, %Y"),
        (["13 February 2024", "1 March 2024"], "%d %B %Y"),
    ],
)
def test_dates_become_dates(tmp_path, texts, form):
    table = read(tmp_path, "d;t\n" + "".join(f"{text};x\n" for text in texts))
    assert table.reading.formats == {"d": form}
    assert values(table, "d") == [pd.Timestamp("2024-02-13"), pd.Timestamp("2024-03-01")]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-13T03:04:05",
        "2024-02-13 03:04:05",
        "2024-02-13T03:04:05Z",
        "2024-02-13T03:04:05+02:00",
        "2024-02-13 03:04:05.000000",
        "02/13/2024 03:04:05 AM",
        "13.02.2024 3:04:05",
    ],
)
def test_time_of_day_is_that_of_the_clock(tmp_path, text):
    table = read(tmp_path, f"when;t\n{text};x\n{text};y\n;z\n")
    assert values(table, "when") == [pd.Timestamp("2024-02-13 03:04:05")] * 2 + [None]


@pytest.mark.parametrize("separator", ["-", "/"])
def test_dates_year_first_stay_text(tmp_path, separator):
    texts = [f"2024{separator}02{separator}13", f"2024{separator}03{separator}01"]
    table = read(tmp_path, "d\n" + "\n".join(texts) + "\n")
    assert values(table, "d") == texts
    form = f"%Y{separator}%m{separator}%d"
    assert values(read(tmp_path, "d\n" + "\n".join(texts) + "\n", formats={"d": form}), "d") == [
        pd.Timestamp("2024-02-13"),
        pd.Timestamp("2024-03-01"),
    ]


def test_order_of_day_and_month_is_never_guessed(tmp_path):
    content = "d;n\n01/02/2024;1\n03/04/2024;2\n"
    table = read(tmp_path, content)
    assert values(table, "d") == ["01/02/2024", "03/04/2024"]
    assert "%d/%m/%Y or %m/%d/%Y" in table.notes[0]
    told = read(tmp_path, content, formats={"d": "%m/%d/%Y"})
    assert values(told, "d")[0] == pd.Timestamp("2024-01-02")


def test_order_of_day_and_month_is_proven_by_another_column(tmp_path):
    table = read(tmp_path, "d;e\n01/02/2024;01/13/2024\n03/04/2024;02/28/2024\n")
    assert values(table, "d")[0] == pd.Timestamp("2024-01-02")
    assert table.notes == ("d: read as %m/%d/%Y, like the table's other dates",)


def test_dates_that_do_not_exist_are_text(tmp_path):
    table = read(tmp_path, "d;n\n30.02.2024;1\n01.02.2024;2\n")
    assert values(table, "d") == ["30.02.2024", "01.02.2024"]
    assert table.notes


@pytest.mark.parametrize("text", ["?", "-", "n.a.", "unknown", "Missing", "#DIV/0!"])
@pytest.mark.parametrize("rest", ["5;7", "1.234,5 €;2,25 €", "13.02.2024;01.03.2024", "yes;no"])
def test_stand_ins_among_typed_values(tmp_path, text, rest):
    first, second = rest.split(";")
    table = read(tmp_path, f"x;t\n{first};a\n{text};b\n{second};c\n")
    assert table.reading.sentinels == {"x": [text]}
    assert table.frame["x"].isna().tolist() == [False, True, False]
    assert not isinstance(table.frame["x"].dtype, pd.StringDtype)


def test_stand_ins_among_words(tmp_path):
    table = read(tmp_path, "x;s\nred;+\n?;-\nunknown;-\nblue;+\n")
    assert values(table, "x") == ["red", None, "unknown", "blue"]
    assert values(table, "s") == ["+", "-", "-", "+"]
    assert table.notes == ("x: 'unknown' is a value, not missing (--missing 'unknown')",)
    assert values(read(tmp_path, "x;t\nred;a\nunknown;b\n", missing=("unknown",)), "x") == [
        "red",
        None,
    ]
    assert values(read(tmp_path, "x;t\nred;a\n?;b\n", kept=("?",)), "x") == ["red", "?"]


@pytest.mark.parametrize(
    ("texts", "taken"),
    [
        (["-999", "5", "7", "-999"], True),
        (["-999.0", "5.5", "7.25", "-999.0"], True),
        (["-99", "12", "30", "-99"], True),
        (["-999", "5", "7", "8"], False),
        (["-999", "-998", "-997", "-999"], False),
        (["-99", "-50", "20", "-99"], False),
        (["-99", "-20", "10", "-99"], False),
        (["999", "5", "7", "999"], False),
    ],
)
def test_numbers_that_stand_for_missing(tmp_path, texts, taken):
    content = "x;y\n" + "".join(f"{text};1\n" for text in texts)
    table = read(tmp_path, content)
    assert (values(table, "x").count(None) == 2) == taken
    kept = read(tmp_path, content, kept=("-999", "-99"))
    assert values(kept, "x").count(None) == 0


def test_number_that_may_stand_for_missing_is_said(tmp_path):
    assert read(tmp_path, "x;y\n999;1\n5;2\n999;3\n7;4\n").notes == (
        "x: 999 is a value, not missing (--missing 999)",
    )


def test_default_missing_texts_are_those_of_pandas(tmp_path):
    from pandas._libs.parsers import STR_NA_VALUES  # type: ignore[import-not-found]

    assert DEFAULT == STR_NA_VALUES
    content = "country,n\nNA,1\nDE,2\n"
    assert values(read(tmp_path, content), "country") == [None, "DE"]
    assert values(read(tmp_path, content, kept=("NA",)), "country") == ["NA", "DE"]


@pytest.mark.parametrize(
    ("texts", "dtype", "expected"),
    [
        (["yes", "no", "no"], "bool", [True, False, False]),
        (["True", "FALSE", ""], "boolean", [True, False, None]),
        (["Y", "n", "?"], "boolean", [True, False, None]),
        (["t", "f", "t"], "bool", [True, False, True]),
        (["true", "true", "true"], "bool", [True, True, True]),
        (["1", "0", "1"], "int64", [1, 0, 1]),
        (["yes", "yes", "yes"], "str", ["yes", "yes", "yes"]),
        (["yes", "no", "maybe"], "str", ["yes", "no", "maybe"]),
        (["m", "f", "f"], "str", ["m", "f", "f"]),
    ],
)
def test_booleans(tmp_path, texts, dtype, expected):
    table = read(tmp_path, "x;t\n" + "".join(f"{text};a\n" for text in texts))
    assert (str(table.frame["x"].dtype), values(table, "x")) == (dtype, expected)


def test_names(tmp_path):
    table = read(tmp_path, 'a,a,,"b\n c", größe ,a.1\n1,2,3,4,5,6\n')
    assert [*table.frame.columns] == ["a", "a.2", "column_3", "b c", "größe", "a.1"]
    assert "column 2: 'a' -> 'a.2'" in table.notes


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a\n1\n\n  \n2\n", {"a": [1, 2]}),
        ('a\n""\n1\n', {"a": [None, 1]}),
        ("name\nMiller, John\nSmith\n", {"name": ["Miller, John", "Smith"]}),
        ("a,b\n1,\n2,\n", {"a": [1, 2], "b": [None, None]}),
        ("a,b\n1,2,\n3,4,\n", {"a": [1, 3], "b": [2, 4], "column_3": [None, None]}),
        ("a,b\n1,2", {"a": [1], "b": [2]}),
        ("a,b\r\n1,2\r\n", {"a": [1], "b": [2]}),
        ("a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
        ("\n\na,b\n1,2\n", {"a": [1], "b": [2]}),
        ('a,b\n1,"x\ny\r\nz"\n2,w\n', {"a": [1, 2], "b": ["x\ny\r\nz", "w"]}),
        ('a,b\n1,"say ""hi"""\n', {"a": [1], "b": ['say "hi"']}),
        ('a,b\n1,5" pipe\n2,3" pipe\n', {"a": [1, 2], "b": ['5" pipe', '3" pipe']}),
        ('a, b\n1, "x, y"\n2, z\n', {"a": [1, 2], "b": ["x, y", "z"]}),
        ("a,b\n1,2,3\n", None),
        ("a,b\n1\n", None),
        ("R,S\n1,2,3\n4,5,6\n", None),
    ],
)
def test_shapes(tmp_path, content, columns):
    if columns is None:
        with pytest.raises(BadData, match=r"table\.csv:2: \d fields, the header has 2"):
            read(tmp_path, content)
        return
    table = read(tmp_path, content)
    assert {name: values(table, name) for name in table.frame.columns} == columns


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "empty file"),
        ("\n \n", "empty file"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", r"table\.csv:3: 1 fields, the header has 2"),
        ('a,b\n1,"x\ny"\n3\n', r"table\.csv:4: 1 fields"),
        ('a,b\n1,"2\n3,4\n', r"table\.csv:2:"),
        ("title\na,b\n1,2\n2,3\n", r"table\.csv:2: 2 fields, the header has 1"),
        (b"PK\x03\x04\x00", "Excel"),
        (b"\x1f\x8b\x08", "gzip"),
    ],
)
def test_faults_name_the_line(tmp_path, content, cause):
    with pytest.raises(BadData, match=cause) as found:
        read(tmp_path, content)
    assert str(tmp_path) in found.value.cause
    assert found.value.hint


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"kinds": {"x": "number"}}, "'a' is not a number"),
        ({"kinds": {"x": "boolean"}}, "'a' is not a boolean"),
        ({"kinds": {"x": "date"}}, "its date format is ambiguous"),
        ({"kinds": {"y": "integer"}}, "'1.5' is not an integer"),
        ({"formats": {"x": "%d.%m.%Y"}}, "'a' is not a date"),
        ({"encoding": "ascii"}, "not ascii"),
    ],
)
def test_what_a_person_says_is_kept_to(tmp_path, given, cause):
    with pytest.raises(BadData, match=cause) as found:
        read(tmp_path, "x;y;ü\na;1.5;1\nb;2;2\n", **given)
    assert "table.csv" in found.value.cause


def test_kinds_can_be_said(tmp_path):
    content = "zip;flag;n\n1234;0;1.50\n5678;1;2.00\n"
    table = read(tmp_path, content, kinds={"zip": "text", "n": "text"})
    assert (values(table, "zip"), values(table, "n")) == (["1234", "5678"], ["1.50", "2.00"])


def test_a_kind_of_one_column_is_not_that_of_its_namesake(tmp_path):
    table = read(tmp_path, "a,b,a\n$5,x,\n$7,y,\n")
    assert values(table, "a") == [5, 7]
    assert table.frame["a.1"].dtype == float


@pytest.mark.parametrize("rest", ["inf", "Infinity", "nan"])
def test_a_sign_for_missing_among_what_pandas_takes_for_numbers(tmp_path, rest):
    table = read(tmp_path, f"a,b\n?,1\n0,2\n{rest},3\n")
    assert values(table, "a")[0] is None


def test_thousands_of_columns_of_one_name(tmp_path):
    start = time.process_time()
    names = unique_names(["a", "a.7", *["a"] * 5000, *[""] * 5000])[0]
    assert len({*names}) == 10_002
    assert names[2:9] == "a.1 a.2 a.3 a.4 a.5 a.6 a.8".split()
    assert time.process_time() - start < 5  # it took minutes while each name was sought from 1 on


@pytest.mark.parametrize("mark", ["", ".5", "e5"])
def test_digits_without_end_are_text(tmp_path, mark):
    long = "9" * 100_000 + mark
    assert values(read(tmp_path, f"a,b\n1,{long}\n2,5\n"), "b")[0] in {long, float("inf")}
    late = "a,b\n" + "1,$1\n" * 90_000 + f"1,{long}\n"  # beyond the sample
    assert len(read(tmp_path, late).frame) == 90_001


def test_late_values_count_too(tmp_path):
    """What only the last of many rows tells is not lost to a sample."""
    content = "x;y;z\n" + "1;2;7\n" * 300_000 + "?;2,5;00012\n"
    table = read(tmp_path, content)
    assert values(table, "x")[-1] is None
    assert values(table, "y")[-1] == 2.5
    assert values(table, "z")[-1] == "00012"


def test_a_title_above_the_header_is_doubted(tmp_path):
    table = read(tmp_path, "Staff 2025,,\n,,\nname,dept,years\nAnn,ops,3\nBob,lab,4\n")
    assert table.notes[0].startswith("1 of 3 columns have a name: if the first line is a title")
    assert not any("title" in note for note in read(tmp_path, ",a,b\n1,2,3\n").notes)
    table = read(tmp_path, "Source: office\nAs of 2025\nname;dept\nAnn;ops\nBob;lab\n")
    assert table.notes[0].startswith("one column, and most rows hold ';': if the first line is a")
    assert not read(tmp_path, 'text\n"a, b"\nc; d\ne\nf\n').notes
    with pytest.raises(BadData) as caught:
        read(tmp_path, "Staff 2025\n\nname,dept\nAnn,ops\n")
    assert "if the first line is a title, skip the lines above" in caught.value.hint


@pytest.mark.parametrize(
    ("texts", "lone"),
    [
        (["4", "s/d", "7", "9"], ["s/d"]),
        (["4,5", "s/d", "-", "7", "9"], ["s/d"]),
        (["4", "s/d", "7"], []),  # too few to tell
        (["4", "s/d", "keine", "9"], []),
        (["4", "unknown", "7", "9"], []),  # known, and taken for missing
        (["ab", "s/d", "cd", "9"], []),
    ],
)
def test_the_one_word_among_numbers_is_doubted(tmp_path, texts, lone):
    table = read(tmp_path, "a;b\n" + "".join(f"x;{text}\n" for text in texts))
    said = [note for note in table.notes if "numbers, except for" in note]
    assert said == [f"b: numbers, except for {text!r} (--missing {text!r})" for text in lone]
    if lone:
        again = read(tmp_path, (tmp_path / "table.csv").read_text(), missing=tuple(lone))
        assert values(again, "b").count(None) >= 1
        assert again.frame["b"].dtype.kind == "f"
