from launcher.view.columns import UNLIMITED, beside, shortened, width, wrapped


def test_what_fits_stays_on_its_line_and_the_rest_goes_below(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert width() == 20
    assert beside("a row", "a note") == ["a row  a note"]
    assert beside("a row of words", "a note") == ["a row of words", "    a note"]
    assert beside("a row", "") == ["a row"]
    assert wrapped("one two three four five") == ["one two three four", "  five"]
    assert wrapped("see launch --max-cost-of-all-runs") == [
        "see launch",
        "  --max-cost-of-all-runs",
    ]
    assert shortened("x" * 20) == "x" * 20
    assert shortened("x" * 21) == "x" * 19 + "…"


def test_a_pipe_has_no_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda _: (_ for _ in ()).throw(OSError))
    assert width() == UNLIMITED
    assert beside("a row", "a note " * 40) == ["a row  " + "a note " * 40]
