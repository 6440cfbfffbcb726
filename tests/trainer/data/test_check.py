import json
import re
import shutil
from contextlib import contextmanager

import pytest

from tests.trainer.attention import families
from trainer import __main__ as command
from trainer.contract.command.errors import BadData, run_main

ANSWER = 'submit(df["price"].mean())'


def chat(question, answer=ANSWER, **more):
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer} | more,
    ]
    return {"messages": messages}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def call(*arguments):
    return run_main(command._main, ["check", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """The figures of a check stay out of the user's own cache."""
    monkeypatch.setattr("trainer.data.token_cache.folder", lambda: tmp_path / "hub" / "x")


@pytest.fixture
def data(tmp_path):
    words = ["price", "year", "cities and streets", "df.head() please", "columns"]
    return write(tmp_path / "rows.jsonl", [chat(w * (n + 1)) for n, w in enumerate(words)])


def states(shown):
    return {found["name"]: found["state"] for found in json.loads(shown)["findings"]}


def test_good_rows_pass(data, base_model, capsys):
    assert call("--model", base_model, "--data", data, "--set", "max_length=512", "--json") == 0
    out, err = capsys.readouterr()
    assert all(
        line.startswith(("reading ", "loading ", "checking ", "training ", "comparing "))
        for line in err.splitlines()
    )
    assert set(states(out).values()) == {"ok"}
    found = json.loads(out)
    assert found["rows"] == 5
    assert sum(count for _, count in found["lengths"]) == 5
    assert 0 < found["trained_tokens"] < found["tokens"]


def test_how_far_it_is_can_be_asked_at_any_time(data, base_model, capsys, monkeypatch):
    told = []

    @contextmanager
    def telling(what):
        told.append(what())

        def lint(*_):
            told.append(what())
            return ()

        monkeypatch.setattr("trainer.data.check.lint", lint)
        yield
        told.append(what())

    monkeypatch.setattr("trainer.data.check.telling", telling)
    assert call("--model", base_model, "--data", data) == 0
    seen = [f"checking the rows of {data.name}, now line {line}" for line in range(1, 6)]
    assert told == ["reading the rows", *seen, "comparing rows to find duplicates"]


def test_the_terminal_shows_findings_lengths_and_a_row(data, base_model, capsys):
    assert call("--model", base_model, "--data", data) == 0
    out = capsys.readouterr().out
    assert (
        "ok       trained tokens  5 trained turns, each in the loss to its stop token <|im_end|>"
        in out
    )
    assert f"<|im_start|>assistant\n«{ANSWER}<|im_end|>»" in out
    assert out.count("█") >= 40


def test_what_would_be_lost_or_is_there_twice_is_counted(data, base_model, tmp_path, capsys):
    rows = data.read_text().splitlines()
    data.write_text(
        "\n".join([*rows, rows[0], json.dumps(chat(" ".join(map(str, range(200)))))]) + "\n"
    )
    held_out = write(tmp_path / "eval.jsonl", [chat("a new one"), json.loads(rows[1])])
    settings = ["--set", "max_length=200", "--set", f"eval_data={held_out}"]
    assert call("--model", base_model, "--data", data, *settings) == 0
    out = capsys.readouterr().out
    assert "warning  duplicates      1 rows equal an earlier row" in out
    assert "equal: lines 1, 6: remove the copies" in out
    assert re.search(r"1 of 7 rows are longer than 200 .*1 trained turns lost, \d+ trained", out)
    assert "warning  held-out rows   1 of 2 held-out rows are trained on" in out
    assert f"{held_out}:2: equals line 2 of the data: remove one of them" in out


@pytest.fixture
def thinking(base_model, tokenizer_of, tmp_path):
    """The base model with a template that strips thoughts from earlier turns."""
    folder = tmp_path / "thinking"
    shutil.copytree(base_model, folder)
    (folder / "chat_template.jinja").write_text(tokenizer_of("qwen3").chat_template)
    return folder


def test_what_blocks_is_shown_and_refused_and_training_refuses_it_too(thinking, tmp_path, capsys):
    turn = chat("q", "<think>\nhm\n</think>\n\na")
    data = write(tmp_path / "rows.jsonl", [turn, {"messages": turn["messages"] * 2}])
    job = ["--model", thinking, "--data", data, "--set", "turns=keep"]
    assert call(*job) == BadData.exit_code
    out, err = capsys.readouterr()
    assert "blocked  earlier turns   1 fault\n" in out
    assert f"{data}:2: message 2: the chat template writes it, or what precedes it, diff" in out
    assert "train each turn as a separate row with --set turns=split" in out
    assert f"error: {data} cannot be trained on: earlier turns\n" in err
    output = tmp_path / "run"
    assert run_main(command._main, [*map(str, job), "--output", str(output)]) == BadData.exit_code
    assert f"{data}:2: message 2: the chat template writes it, or what" in capsys.readouterr().err
    assert not (output / "adapter").exists()


@pytest.mark.parametrize("turns", ["auto", "split"])
def test_what_the_template_rewrites_is_divided_and_the_cost_is_shown(
    turns, thinking, tmp_path, capsys
):
    turn = chat("q", "<think>\nhm\n</think>\n\na")["messages"]
    data = write(tmp_path / "rows.jsonl", [{"messages": turn}, {"messages": turn * 3}])
    assert call("--model", thinking, "--data", data, "--set", f"turns={turns}") == 0
    out = capsys.readouterr().out
    assert "4 trained turns" in out
    assert re.search(r"rewrites earlier turns: 2 rows become 4, .* with \d+ more tokens", out)
    assert "(+" in out


def test_faults_are_printed_in_groups_and_all_on_request(base_model, tmp_path, capsys):
    """Each message with a name that no template writes; the names differ."""
    call_of = {"type": "function", "function": {"name": "f", "arguments": {}}}
    rows = [chat(f"q{n}", "", tool_calls=[call_of]) for n in range(30)]
    data = write(tmp_path / "rows.jsonl", rows)
    job = ["--model", base_model, "--data", data]
    assert call(*job) == BadData.exit_code
    grouped = capsys.readouterr().out
    assert "blocked  lost text       30 faults\n" in grouped
    assert grouped.count("leaves out the tool call") == 1
    assert "(30 faults; lines 1, 2, 3, 4, 5, ...)" in grouped
    assert call(*job, "--all") == BadData.exit_code
    assert capsys.readouterr().out.count("leaves out the tool call") == 30


def test_all_faults_of_a_file_that_cannot_be_read_are_printed_on_request(
    base_model, tmp_path, capsys
):
    data = write(tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": "q"}]}] * 30)
    assert call("--model", base_model, "--data", data, "--all") == BadData.exit_code
    out, err = capsys.readouterr()
    assert out.count("no assistant turn") == 30
    assert err.count("no assistant turn") == 1


def test_the_page_marks_what_is_trained_and_is_one_file(base_model, tmp_path):
    evil = "<script>alert(1)</script> & </pre>"
    data = write(tmp_path / "rows.jsonl", [chat(evil, f"{evil}!")])
    page = tmp_path / "page.html"
    assert call("--model", base_model, "--data", data, "--html", page) == 0
    text = page.read_text()
    assert "<script" not in text
    assert not re.search(r"(src|href)=|https?:", text)
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;/pre&gt;"
    assert f"<mark>{escaped}!&lt;|im_end|&gt;</mark>" in text
    assert text.count("<mark>") == 1
    assert f"user\n{escaped}" in text


def test_a_job_file_is_checked(data, base_model, tmp_path, capsys):
    from trainer.contract.job import Job

    job = tmp_path / "job.json"
    job.write_text(Job(model=str(base_model), data=str(data)).to_json())
    assert call(job, "--json") == 0
    assert call(job, "--lr", "1") == 2
    assert call("--data", tmp_path / "none.jsonl", "--model", base_model) == 11


def test_a_later_plan_has_the_lengths_of_the_check(data, base_model, tmp_path, monkeypatch):
    from launcher.quote.estimate import training_size
    from launcher.world import World
    from trainer.contract.job import from_sources
    from trainer.contract.rows import read_rows

    monkeypatch.setattr(World, "hub_folder", lambda _: tmp_path / "hub")
    job = ["--model", base_model, "--data", data, "--set", "max_length=64"]
    assert call(*job) == 0
    given = {"model": str(base_model), "data": str(data)}
    here = from_sources(None, ["max_length=64", "eval_share=0", "epochs=1"], given)
    found = training_size(here, read_rows(data), world=World())
    assert found.counted == "counted by the check of the same rows"
    other = from_sources(None, ["max_length=65"], given)
    assert training_size(other, read_rows(data), world=World()).counted.startswith(
        "counted with the model"
    )
    data.write_text(data.read_text() + json.dumps(chat("one more")) + "\n")
    assert training_size(here, read_rows(data), world=World()).counted.startswith(
        "counted with the model"
    )


def test_it_says_how_rows_are_trained(data, base_model, capsys):
    assert call("--model", base_model, "--data", data) == 0
    assert (
        "ok       packing         rows are packed: several share a micro-batch"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("family", "state", "text"),
    [
        (
            "Gemma 2 2B",
            "warning",
            "attention with a soft cap cannot be packed exactly: each row is",
        ),
        ("Mamba", "blocked", "a base of the type 'mamba' cannot be trained"),
    ],
)
def test_a_model_that_is_not_packed_is_a_warning_and_one_that_cannot_be_trained_blocks(
    family, state, text, data, tokenizer_of, tmp_path, capsys
):
    families.save_small(family, tmp_path, tokenizer_of("chatml"))
    code = call("--model", tmp_path, "--data", data)
    assert f"{state:<8} packing         {text}" in capsys.readouterr().out
    assert code == (BadData.exit_code if state == "blocked" else 0)
