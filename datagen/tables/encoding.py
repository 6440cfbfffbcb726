"""Which encoding a CSV is written in, and which files are not CSV.

Byte order marks, UTF-8 and UTF-16 are recognised with certainty; the rest is a guess. Latin words have few bytes that are not ASCII; of the two Latin code pages the one
that puts fewer signs inside words is taken, Western where both do. Other scripts are recognised by
charset-normalizer, which is given only words that are not ASCII: on whole tables, which are mostly
digits, it guesses at random.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable

from trainer.contract.command.errors import BadData

UTF8 = "utf-8-sig"
WIDE = {"utf-16-le", "utf-16-be", "utf-16", "utf-32"}
_SEPARATORS = bytes(0x20 if byte <= 0x20 or byte in b',;|"' else byte for byte in range(256))
MIN_BYTES = 6
_MARKS = (  # the longer mark first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
}
_HTML = re.compile(r"<(?:!doctype html|html|head|body|table|div)\b", re.IGNORECASE)
_JSON = re.compile(r"\[?\s*\{\s*(?:\"(?:[^\"\\]|\\.)*\"\s*:|\}|$)")
_LFS = "version https://git-lfs.github.com/spec/"
_NOT_LATIN = "cp1251 cp1253 cp1255 cp1256 cp932 gb18030 big5 euc_kr koi8_r".split()


def certain_encoding(head: bytes) -> str:
    """The encoding that the first bytes prove, and UTF-8 where they prove none."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    if pairs and head[1::2].count(0) > 0.3 * pairs:
        return "utf-16-le"
    if pairs and head[0::2].count(0) > 0.3 * pairs:
        return "utf-16-be"
    return UTF8


def non_ascii_words(data: bytes) -> set[bytes]:
    """The words that are not ASCII."""
    return {word for word in data.translate(_SEPARATORS).split() if not word.isascii()}


def is_damaged_utf8(words: Iterable[bytes]) -> bool:
    """Whether most words that are not ASCII are UTF-8: text in a code page is UTF-8 by accident only."""
    valid = [_decodes(word, "utf-8") for word in words]
    return 2 * sum(valid) > len(valid)


def guess_encoding(words: Iterable[bytes]) -> str:
    """The likeliest encoding of words that are not UTF-8; Western Latin without evidence."""
    from charset_normalizer import from_bytes

    telling = [word for word in words if len(word) > 1]
    text = b" ".join(telling)
    high = sum(byte > 0x7F for byte in text)
    if MIN_BYTES <= sum(map(len, telling)) < 2 * high:
        best = from_bytes(text, cp_isolation=_NOT_LATIN).best()
        if best and _decodes(text, best.encoding):
            return best.encoding
    if _count_odd_characters(text, "cp1250") < _count_odd_characters(text, "cp1252"):
        return "cp1250"
    return "cp1252" if _decodes(text, "cp1252") else "latin-1"


def _count_odd_characters(text: bytes, encoding: str) -> int:
    """How many characters inside words are not letters: what a wrong Latin code page makes."""
    inside = re.findall(r"(?<=\w)[^\w\s'.-]|[^\w\s'.-](?=\w)", text.decode(encoding, "replace"))
    return len(inside)


def _decodes(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def refuse_binary(path: object, head: bytes) -> None:
    """Raise BadData when the first bytes are those of a known binary format."""
    for mark, what in _BINARY.items():
        if head.startswith(mark):
            raise BadData(f"{path}: not a CSV but {what}", "export the table as CSV")


def refuse_markup(path: object, text: str) -> None:
    """Raise BadData when the text is HTML, XML, JSON or JSON lines."""
    start = text[:10_000].lstrip()
    if start.startswith(_LFS):
        raise BadData(f"{path}: not a CSV but a Git LFS pointer", "get the file with: git lfs pull")
    if _HTML.match(start):
        raise BadData(
            f"{path}: not a CSV but an HTML page",
            "download the CSV file that this page shows or links to",
        )
    if start.startswith("<?xml"):
        raise BadData(f"{path}: not a CSV but XML", "export the table as CSV")
    if what := _json(start):
        raise BadData(
            f"{path}: not a CSV but {what}",
            "convert it, for example with pandas: read_json(...).to_csv(...)",
        )


def _json(start: str) -> str:
    first, _, rest = start.partition("\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "JSON" if _JSON.match(start) else ""
    if isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(part, dict | list) for part in value)
    ):
        return "JSON lines" if rest.strip() else "JSON"
    return ""
