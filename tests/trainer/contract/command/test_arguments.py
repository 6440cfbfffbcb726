from typing import Literal

import pytest
from pydantic.fields import FieldInfo

from trainer.contract.command.arguments import Parser, add_flag, allowed
from trainer.contract.command.errors import Usage


def parser() -> Parser:
    top = Parser(prog="tool")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    train = verbs.add_parser("train", help="train")
    train.add_argument("--batch-size", type=int)
    train.add_argument("--on", choices=["here", "docker"])
    train.add_argument("--force", required=False)
    verbs.add_parser("hidden").add_argument("--x")
    return top


@pytest.mark.parametrize(
    ("given", "cause", "hint"),
    [
        (
            ["train", "--batchsize", "3"],
            "tool train: unknown argument --batchsize",
            "did you mean --batch-size?",
        ),
        (["train", "--zzz=1"], "tool train: unknown argument --zzz", "see: tool train --help"),
        (["trian"], "tool: unknown verb 'trian'", "did you mean train?"),
        (["train", "--on", "her"], "tool train: unknown value 'her'", "did you mean here?"),
        ([], "tool: the verb is missing", "give one of: train"),
        (
            ["train", "--batch-size", "x"],
            "tool train: argument --batch-size: invalid int value: 'x'",
            "see: tool train --help",
        ),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest(given, cause, hint):
    with pytest.raises(Usage) as caught:
        parser().parse_args(given)
    assert (caught.value.cause, caught.value.hint) == (cause, hint)


def test_what_is_right_is_parsed():
    assert parser().parse_args(["train", "--batch-size", "3"]).batch_size == 3
    assert parser().parse_args(["hidden", "--x", "1"]).x == "1"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Literal["stop", "delete"], ("stop", "delete")),
        (Literal["low", "high"] | None, ("low", "high")),
        (bool, ("yes", "no")),
        (bool | None, ("yes", "no")),
        (str, ()),
        (float | None, ()),
        (dict[str, None], ()),
    ],
)
def test_the_words_that_a_field_takes(kind, words):
    assert allowed(kind) == words
    parser = Parser()
    add_flag(parser, "--on-deadline", FieldInfo(annotation=kind), dest="x", preset="")
    word = "{" + ",".join(words) + "}" if words else "DEADLINE"
    assert f"--on-deadline {word}" in parser.format_usage()
