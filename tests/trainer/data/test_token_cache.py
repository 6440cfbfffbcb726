import json
import os
from pathlib import Path

import pytest

from trainer.contract.rows import Row, Rows
from trainer.data import token_cache
from trainer.data.encode import encode_rows
from trainer.data.templates import freeze, learn_format


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Keep everything, in a folder of the test's own."""
    monkeypatch.setattr(token_cache, "folder", lambda: tmp_path / "kept")
    monkeypatch.setattr(token_cache, "WORTH", 0.0)
    return tmp_path / "kept"


@pytest.fixture
def chat_format(tokenizer_of):
    tokenizer = tokenizer_of("chatml")
    freeze(tokenizer)
    return learn_format(tokenizer)


def rows_of(*questions, start=1, sha256="a" * 64):
    return Rows(
        [
            Row(
                [{"role": "user", "content": text}, {"role": "assistant", "content": "submit(1)"}],
                None,
                line,
            )
            for line, text in enumerate(questions, start)
        ],
        sha256,
    )


def encoded(chat_format, rows):
    return encode_rows(Path("rows"), rows, chat_format, max_length=64, overlong="drop")


def key(rows, chat_format, max_length=64, overlong="drop", turns="auto"):
    return token_cache.key(rows, chat_format, max_length=max_length, overlong=overlong, turns=turns)


def never():
    raise AssertionError("tokenised again")


def test_what_is_read_back_is_what_was_made(chat_format):
    made = encoded(chat_format, rows_of("price?", "q " * 400, "year?"))
    assert made.dropped == [2]
    assert token_cache.or_else("x", lambda: made, print) is made
    said: list[str] = []
    assert token_cache.or_else("x", never, said.append) == made
    assert "of 2 rows were read back" in said[0]


def test_quick_work_is_not_kept(chat_format, kept, monkeypatch):
    monkeypatch.setattr(token_cache, "WORTH", 60.0)
    token_cache.or_else("x", lambda: encoded(chat_format, rows_of("price?")), print)
    assert not kept.exists()


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04 torn", b"no zip at all"])
def test_a_torn_file_is_made_again(chat_format, kept, text):
    made = encoded(chat_format, rows_of("price?"))
    token_cache.or_else("x", lambda: made, print)
    (place,) = kept.iterdir()
    place.write_bytes(text)
    assert token_cache.or_else("x", lambda: made, print) is made
    assert token_cache.or_else("x", never, print) == made


def test_a_cut_file_is_made_again(chat_format, kept):
    made = encoded(chat_format, rows_of("price?"))
    token_cache.or_else("x", lambda: made, print)
    (place,) = kept.iterdir()
    whole = place.read_bytes()
    for length in range(0, len(whole), 97):
        place.write_bytes(whole[:length])
        assert token_cache._read(place) is None


def test_a_folder_that_cannot_be_written_is_no_fault(chat_format, tmp_path, kept):
    kept.write_text("a file")
    made = encoded(chat_format, rows_of("price?"))
    assert token_cache.or_else("x", lambda: made, print) is made


def test_only_the_newest_stay(chat_format, kept):
    made = encoded(chat_format, rows_of("price?"))
    for number in range(token_cache.KEPT + 2):
        token_cache.or_else(str(number), lambda: made, print)
        os.utime(kept / f"{number}.npz", (number, number))
    assert {path.stem for path in kept.iterdir()} == {"2", "3", "4", "5"}


def test_the_key_is_all_that_tokens_depend_on(chat_format, tokenizer_of):
    rows = rows_of("price?", "year?")
    plain = key(rows, chat_format)
    assert plain == key(rows_of("price?", "year?"), chat_format)
    others = {
        key(rows_of("price?", "year?", sha256="b" * 64), chat_format),
        key(rows_of("price?", "year?", start=2), chat_format),
        key(rows_of("price?"), chat_format),
        key(rows, chat_format, max_length=65),
        key(rows, chat_format, overlong="split"),
        key(rows, chat_format, turns="keep"),
        key(rows, learn_format(tokenizer_of("qwen2_5"))),
    }
    longer = tokenizer_of("chatml")
    longer.add_tokens(["price"])
    others.add(key(rows, learn_format(longer)))
    assert len(others | {plain}) == 9


def test_a_second_start_reads_the_rows_back(base_model, tmp_path, monkeypatch):
    from trainer.contract import events
    from trainer.contract.job import from_sources
    from trainer.contract.rows import read_rows
    from trainer.data import prepare
    from trainer.reporting import Reporter

    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "submit(1)"}]
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"messages": chat}) + "\n")
    job = from_sources(None, ["max_length=256"], {"model": str(base_model), "data": str(data)})
    log = tmp_path / "train.log"
    with events.Writer(tmp_path / "events.jsonl") as writer:
        reporter = Reporter(writer, lambda _: None, log)
        first = prepare.prepare(job, read_rows(data), None, reporter)
        assert "read back" not in log.read_text()
        monkeypatch.setattr(prepare, "encode_rows", lambda *_args, **_kwargs: never())
        again = prepare.prepare(job, read_rows(data), None, reporter)
    assert "of 1 rows were read back" in log.read_text()
    assert again.examples == first.examples
