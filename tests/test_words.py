"""The words of a riddle stay out of what a user reads: messages, help, reports, documentation.

Each pattern has the reason and the word to write instead. A package that is plain goes from ``NOT_YET`` to
``PLAIN``, from then on its strings are held to the list; in ``PLAIN_INSIDE`` so are docstrings and comments.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import launcher.errors  # noqa: F401 - its kinds of fault
from trainer.contract.command.errors import Fault

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docker/README.md",
    "tests/openrouter/README.md",
    "tests/system/emulator/README.md",
    "trainer/tiny/README.md",
)
PLAIN = ("launcher", "trainer", "datagen", "docs", *PAGES)
PLAIN_INSIDE = ("launcher", "trainer", "datagen")
NOT_YET: tuple[str, ...] = ()
LEFT_OUT = (
    "datagen/questions",  # not yet
    "datagen/prompts",  # texts for models
    "datagen/tables/synthetic.py",  # words of synthetic tables: another word makes other tables
    "trainer/tiny/documents.py",  # words of invented documents: another word makes another model
)
WORDS = {
    r"\blet(s|ting)? ([\w ]{1,20} )?go\b": "a metaphor: delete (the pod), stop (the pod, disk kept)",
    r"\brel?eas(e|es|ed|ing) (a|the|this|every|that) pods?\b": "delete (the pod)",
    r"\bat home\b|\b(comes?|came) home\b": "downloaded, on this machine",
    r"\b(bring|brings|bringing|brought|way) ([\w ]{1,20} )?home\b": "download",
    r"\binstants\b": "deadlines: save by, delete by",
    r"\b(is|are|was) (?-i:none)\b(?! of the)": "missing, not found, invalid",
    r"(?<!there )\b(is|are) no (?!longer)": "say what is: 'not a number', not 'is no number'",
    r"\bat work\b": "running",
    r"\bby hand\b": "by the user",
    r"\b(of|beside) ours\b|\bof (its|your|their|my) own\b": "say which one",
    r"\b(nobody|somebody|whoever|whatever)\b": "name who does it",
    r"\bas it is typed\b|\bas typed\b": "as entered",
    r"\bwhat is to be\b|\bis to be\b": "say who does it",
    r"\bbills? on\b": "is still billed",
    r"\bgone by\b": "deadline",
    r"\b(way in|door)\b": "SSH access",
    r"\b(twin|twins|doubles)\b": "near-duplicates, duplicates",
    r"\bon trial\b|\blongest step\b": "trial step",
    r"\bpasses of\b": "micro-batches of",
    r"\b(brief prompt|basic famil(y|ies))\b": "short prompt, simple questions",
    r"\b(ran|runs) into\b": "meets, fails with",
    r"\bcarr(y|ies|ied) on\b|\bgoes? on\b": "continue",
    r"\bpick(s|ed|ing)? ([\w ]{1,20} )?up\b": "continue",
    r"\bbeg[iu]n again\b": "resume",
    r"\ball the same\b|\banew\b": "still, again",
    r"\bby the clock\b|\bby heart\b": "by elapsed time, memorised",
    r"\b(asks|asked|says|said|tells|told)\b": "a program prints, returns, reports, sends",
    r"\b(ballast|burial|keeper|witness|stranger)\b": "a metaphor",
}
NAMES = (
    "CSV ",
    "GET ",
    "OpenRouter ",
    "POST ",
    "RUNPOD_API_BASE_URL ",
    "RunPod ",
    "SSH ",
    "W&B ",
    "{}",
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each text of a file that a user may read; ``{}`` stands for what is filled in."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        for line, text in enumerate(source.splitlines(), 1):
            plain = re.sub(r"\{[{%].*?[%}]\}|\$\{.*?\}", "{}", text)
            if path.suffix == ".js":
                plain = " ".join(re.findall(r"[\"`](.*?)[\"`]", plain))
            yield line, plain
        return
    tree = ast.parse(source)
    inner = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # a string that stands alone is a docstring
            inner |= {id(s.value) for s in body if isinstance(s, ast.Expr)}
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) not in inner and " " in (written(node) or "").strip():
            yield getattr(node, "lineno", 0), written(node) or ""


def written(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(written(part) or "{}" for part in parts)
    return None


def explanations(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each docstring and comment of a module, without its ``names``."""
    source = path.read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else ():
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                yield part.lineno, re.sub(r"`+.*?`+", "", str(part.value.value))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def files(part: str) -> list[Path]:
    if part in PAGES:
        return [ROOT / part]
    return sorted(
        path
        for path in (ROOT / part).rglob("*")
        if path.suffix in {".py", ".md", ".j2", ".js"}
        and not path.relative_to(ROOT).as_posix().startswith(LEFT_OUT)
    )


def riddles(path: Path, found: Iterator[tuple[int, str]]) -> Iterator[str]:
    for line, text in found:
        for pattern, reason in WORDS.items():
            if match := re.search(pattern, " ".join(text.split()), re.IGNORECASE):
                yield f"{path.relative_to(ROOT)}:{line}: {match[0]!r}: {reason}"


@pytest.mark.parametrize("part", PLAIN)
def test_no_text_for_a_user_is_a_riddle(part):
    found = [fault for path in files(part) for fault in riddles(path, texts(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("part", PLAIN_INSIDE)
def test_no_docstring_or_comment_is_a_riddle(part):
    modules = [path for path in files(part) if path.suffix == ".py"]
    found = [fault for path in modules for fault in riddles(path, explanations(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("part", [part for part in PLAIN if part not in {"docs", *PAGES}])
def test_a_message_begins_small_and_ends_without_a_stop(part):
    kinds = {kind.__name__ for kind in Fault.__subclasses__()}
    found = []
    for path in files(part):
        for node in ast.walk(ast.parse(path.read_text("utf-8") if path.suffix == ".py" else "")):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds:
                for text in filter(None, map(written, node.args[:2])):
                    small = text[0].islower() or not text[0].isalpha() or text.startswith(NAMES)
                    if not small or (text.endswith((".", "!")) and not text.endswith("...")):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text}")
    assert not found, "\n".join(found)


def test_every_part_is_plain_or_named_as_not_yet():
    parts = {
        p.name
        for p in ROOT.iterdir()
        if p.is_dir() and p.name[0] != "." and any(p.glob("*.[pm][yd]"))
    }
    assert {*PLAIN, *NOT_YET} - {*PAGES} == parts - {"docker", "tests"}


@pytest.mark.parametrize("riddle", ["lets the pod go", "the setting in it is none", "is no number"])
def test_the_list_finds_what_was_there_once(riddle):
    assert any(re.search(pattern, riddle) for pattern in WORDS)
