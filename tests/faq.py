"""Writes docs/faq.md from the code: `python -m tests.faq`, after any change of a message of the launcher."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import NoCapacity
from trainer.contract.command.errors import Fault

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "faq.md"
EXIT_CODES = {
    kind.__name__: kind.exit_code
    for kind in Fault.__subclasses__()
    if kind.__module__ == NoCapacity.__module__
}
# What stands for an expression inside a message: the first pattern that its code matches.
NAMES = (
    (r"run\.id|run_id", "RUN"),
    (r"pod_id|pod\.id", "POD"),
    (r"repository", "REPOSITORY"),
    (r"image|reference", "IMAGE"),
    (
        r"error|said|why|reason|line|stderr|fault|text|refused|status|remedy|explanation|hint",
        "REASON",
    ),
    (r"where|address|url|host", "ADDRESS"),
    (r"path|source|folder|name", "NAME"),
    (r"gpu", "GPU"),
    (r"rate|cost|spent", "AMOUNT"),
)
HEAD = """# Troubleshooting

After this page you can find what a message of `launch` means, whether something is still billed, and which command
to type. `python -m tests.faq` writes the tables from the code; a test compares them. Start with these:

```bash
launch ps          # your runs: state, pod, deadline, cost so far; changes nothing
launch doctor      # packages, card, sandbox, keys, Docker, registry, disk: what is missing, and how to get it
launch reap        # stops or deletes pods whose run has ended or whose deadline has passed
```

A failed command prints one message, then `->` and the next step, and ends with the exit code of its section below.
`SFT_TRACEBACK=1` before a command shows where in the code an error came from. [Exit codes](reference.md#exit-codes);
[terms](glossary.md).

## By symptom

- **Is anything still billed?** `launch reap` lists every pod that `launch` rented with this key, from any
  machine, with what it keeps and why. Other pods are in RunPod's console only.
- **This machine was off, or the launcher was killed.** The pod kept training, and ends by its deadline. Continue
  with `launch attach RUN`; `launch fetch RUN` downloads a finished result and deletes the pod.
- **Every card fails in the same way.** The fault is the image or the account, not the card: see
  [Image and Docker](#image-and-docker) and [Account and API](#account-and-api).
- **Nothing happens for minutes.** The first pull of an image takes several minutes. The launcher deletes a pod
  whose log stays silent, and tries the next card.
- **The result is on a stopped pod.** `launch fetch RUN` starts the pod, downloads, verifies and deletes. Until
  then its disk costs cents a day.
- **`docker` works, and `launch` finds no engine.** `launch doctor` prints the address and the reason. Both read
  `DOCKER_HOST`, `DOCKER_CONTEXT` and `~/.docker/config.json`.

In the tables, a word in capitals stands for a value: `RUN`, `POD`, `REASON`. A message that is `REASON` alone is an
answer of RunPod, in its words.
"""
AREAS = {
    "Money": ("OverBudget", "PaymentRequired", "NoCapacity"),
    "Account and API": ("KeyRejected", "KeyForbidden", "BadRequest", "ApiUnavailable"),
    "Pod": ("PodFailed", "PodRefused", "WrongState"),
    "SSH": ("HostKeyChanged", "ConnectionLost"),
    "Image and Docker": ("NoEngine", "BuildFailed", "PushRefused"),
    "Run folder": ("BrokenJournal",),
}
ABOUT = {
    "OverBudget": "The run would cost or last more than its caps. Nothing is rented; a pod that turned out dearer than "
    "quoted was deleted at once. `launch plan` compares the cards.",
    "PaymentRequired": "RunPod's balance is too low to rent. At a balance of 0 RunPod stops running pods and deletes "
    "those without a network volume: add credit, or download first with `launch fetch RUN`.",
    "NoCapacity": "The card is taken everywhere, or its stopped pod's host is full. Nothing is rented. `launch plan` "
    "shows which cards are free now.",
    "KeyRejected": "RunPod does not know the key, and nothing was changed. A running pod ends by its deadline without it.",
    "KeyForbidden": "The key is valid and may not do this. Nothing was changed.",
    "BadRequest": "RunPod refused the request, and would refuse it again. Nothing was rented.",
    "ApiUnavailable": "The launcher has repeated the request before it stopped. A running pod continues, and so does "
    "`launch attach RUN` later. A pod whose create had no answer is searched for by its name.",
    "PodFailed": "The pod did not start, stopped, or is gone. Checkpoints that were downloaded are in the run folder: "
    "`launch train --resume RUN` continues from the newest.",
    "PodRefused": "The pod runs, and a command in it failed. It is billed until it is deleted: `launch stop RUN` saves "
    "what is trained and deletes it.",
    "WrongState": "RunPod allows each action in some states only. A pod in state ERROR can be started or deleted: "
    "`launch stop RUN --now` deletes it.",
    "HostKeyChanged": "Nothing was sent to that server. The pod is billed until its deadline; `launch attach RUN` reads "
    "the newest key from the pod's log and connects again.",
    "ConnectionLost": "The pod continues to train, and the launcher connects again. Once the launcher has ended, "
    "`launch attach RUN` continues.",
    "NoEngine": "Nothing was rented. `launch doctor` prints what the launcher found; `docker info` must succeed as this user.",
    "BuildFailed": "Nothing was rented. The lines above the message are the last ones of the build.",
    "PushRefused": "Nothing was rented. The image stays in this engine, so the next try only pushes.",
    "BrokenJournal": "The journal is what the launcher knows of the money spent. Correct the line, or restore the file; "
    "`launch reap` shows which pods exist.",
}


@dataclass(frozen=True)
class Message:
    kind: str
    cause: str
    hint: str


def faq() -> str:
    """The whole page."""
    by_kind: dict[str, list[Message]] = defaultdict(list)
    for message in messages():
        if message not in by_kind[message.kind]:
            by_kind[message.kind].append(message)
    lines = [HEAD]
    for area, kinds in AREAS.items():
        lines += [f"## {area}", ""]
        for kind in kinds:
            lines += [f"### Exit code {EXIT_CODES[kind]}", "", ABOUT[kind], ""]
            rows = sorted((one.cause, one.hint) for one in by_kind[kind])
            if rows:
                lines += ["| message | next step |", "| --- | --- |"]
                lines += [f"| {_cell(cause)} | {_cell(hint)} |" for cause, hint in rows]
                lines.append("")
    return "\n".join(lines)


def messages() -> Iterator[Message]:
    """Every message in the code of the launcher that ends it with one of its exit codes."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "launcher").rglob("*.py")}
    kinds = _kinds(trees.values())
    for path in sorted(trees):
        constants = _texts(trees[path].body)
        for function in ast.walk(trees[path]):
            if isinstance(function, ast.FunctionDef) and function.name != "explained":
                known = {**constants, **_texts(ast.walk(function))}
                for call in ast.walk(function):
                    if isinstance(call, ast.Call):
                        yield from _of_call(call, kinds, known)


def _kinds(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Each class of faults of the launcher, and the class that its exit code is listed under."""
    found = {kind: kind for kind in EXIT_CODES}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if isinstance(base, ast.Name) and base.id in EXIT_CODES:
                        found.setdefault(node.name, base.id)
    return found


def _of_call(
    call: ast.Call, kinds: dict[str, str], known: dict[str, ast.expr]
) -> Iterator[Message]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    given = [_merged(_shown(argument, known)) for argument in call.args]
    if name == "explained" and given:
        yield Message("NoEngine", f"{given[0]}: REASON", [*given, "see: docker info"][1])
    elif name in kinds and any(re.search(r"[a-z]{3}", text) for text in given):
        # A message without words in the code is RunPod's, or that of another fault.
        yield Message(kinds[name], given[0], [*given, ""][1])


def _merged(text: str) -> str:
    """Values that follow each other are one."""
    return re.sub(r"\0(\w+)\0(?:\0\w+\0)*", r"\1", text)


def _texts(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """The names that are given to texts."""
    found: dict[str, ast.expr] = {}
    for node in nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=(ast.Constant() | ast.JoinedStr()) as value
            ):
                found[name] = value
    return found


def _shown(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """A text of the code as a reader meets it; values are words in capitals."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_shown(part, known) for part in parts)
        case ast.FormattedValue(value=value):
            return _shown(value, known)
        case ast.Call(func=ast.Attribute(attr="strip")):
            return "\0REASON\0"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _shown(left, known) + _shown(right, known)
        case ast.IfExp(body=one, orelse=other):
            return " / ".join(filter(None, (_shown(one, known), _shown(other, known))))
        case ast.Name(id=name) if name in known:
            return _shown(known[name], {key: value for key, value in known.items() if key != name})
    code = ast.unparse(node)
    word = next(
        (word for pattern, word in NAMES if re.search(pattern, code, re.IGNORECASE)), "VALUE"
    )
    return f"\0{word}\0"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    FILE.write_text(faq(), "utf-8")
