"""The commands of a chat: a line that starts with a slash."""

from __future__ import annotations

import difflib
import json
import shlex
from pathlib import Path
from typing import Any

from datagen.chat.conversation import Answer, Conversation
from datagen.chat.table import FORMS, TableQuestions
from datagen.chat.training_rows import TrainedOn
from datagen.prompts.render import as_reply, code_of
from trainer.contract.command.errors import Usage

HELP = {
    "/base": "only the base answers",
    "/adapter": "only the adapter answers",
    "/both": "base and adapter answer",
    "/system TEXT": "new conversation with this system prompt; without TEXT, with none",
    "/table CSV": "ask about this table, code runs in the sandbox; without CSV, chat again",
    "/form KIND": f"kind of the table's answers: {', '.join(FORMS)}",
    "/save TEXT": "append the last prompt to {save} as a training row, with TEXT as its right answer; "
    "without TEXT, with the answer as it is",
    "/clear": "new conversation",
    "/help": "show this",
    "/quit": "end",
}
KEYS = "A line that ends with \\ continues. Ctrl-C stops an answer, Ctrl-D ends."


class Commands:
    """Changes the conversation as the user types. Every method raises a Fault for what cannot be done."""

    def __init__(self, chat: Conversation, trained: TrainedOn, save: Path) -> None:
        self.chat = chat
        self.trained = trained
        self.save = save
        # The answer that was saved last, and where its row ends and starts.
        self._saved: tuple[Answer | None, int, int] = (None, 0, 0)

    def __call__(self, line: str) -> bool:
        """Obey one line; False to end the chat. Raises Usage for an unknown command."""
        name, _, text = line.partition(" ")
        text = text.strip()
        match name:
            case "/base" | "/adapter" | "/both":
                self._answer_by(name[1:])
            case "/system":
                self.chat.system = text or None
                self._clear(f"system prompt: {text or 'none'}; new conversation")
            case "/table":
                self.table(Path(text).expanduser() if text else None)
            case "/form":
                self._form(text)
            case "/save":
                self._save(text)
            case "/clear":
                self._clear("new conversation")
            case "/help":
                self._help()
            case "/quit" | "/exit":
                return False
            case _:
                names = [known.split()[0] for known in HELP]
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else "list the commands with /help"
                raise Usage(f"unknown command {name}", hint)
        return True

    def table(self, path: Path | None) -> None:
        """Ask about the table at `path` from now on; None: about none."""
        found = TableQuestions(path, self.trained.style) if path else None
        if self.chat.table is not None:
            self.chat.table.close()
        self.chat.table = found
        if found is None:
            self.chat.screen.remark("no table: your lines are a chat again")
        else:
            self.chat.screen.remark(found.remark)
            if found.style == "full":
                self.chat.screen.remark(
                    f"the prompt requests a {found.form}; another kind of answer: /form text"
                )

    def _answer_by(self, label: str) -> None:
        self.chat.only = None if label == "both" else label
        self.chat.screen.remark(f"{label} answer{'' if label == 'both' else 's'}")

    def _clear(self, remark: str) -> None:
        self.chat.clear()
        self.chat.screen.remark(remark)

    def _form(self, text: str) -> None:
        form = next((form for form in FORMS if form == text), None)
        if self.chat.table is None:
            raise Usage("there is no table", "ask about one with /table FILE.csv")
        if form is None:
            raise Usage(f"unknown kind of answer {text!r}", f"use one of {', '.join(FORMS)}")
        self.chat.table.form = form
        self.chat.screen.remark(f"the prompt requests this kind of answer: {form}")

    def _save(self, text: str) -> None:
        answer = self.chat.last.get("adapter") or self.chat.last.get("base")
        if answer is None:
            raise Usage("there is no answer to save", "ask something first")
        line = json.dumps(row(answer, text), ensure_ascii=False).encode() + b"\n"
        with self.save.open("ab") as file:
            start = file.tell()
            if self._saved[:2] == (answer, start):  # saved again: the earlier row is replaced
                start = file.truncate(self._saved[2])
            self._saved = (answer, start + file.write(line), start)
        check = ["launch", "check", "--data", str(self.save)]
        model = ["--model", self.trained.model] if self.trained.model else []
        self.chat.screen.remark(f"saved; check the file with: {shlex.join([*check, *model])}")

    def _help(self) -> None:
        self.chat.screen.columns({name: text.format(save=self.save) for name, text in HELP.items()})
        self.chat.screen.remark(KEYS)


def row(answer: Answer, corrected: str) -> dict[str, Any]:
    """The training row of an answer, or of what it should have been: only its last turn is trained.

    About a table, a correction without a code block is the code. Raises Usage for an answer about a
    table that submitted nothing, and for one that was cut off.
    """
    messages = [message.model_dump() for message in answer.messages]
    if answer.trace is not None and corrected:
        messages = [message.model_dump() for message in answer.trace.opening]
        text = corrected if code_of(corrected) is not None else as_reply(corrected)
        messages.append({"role": "assistant", "content": text})
    elif answer.trace is not None and not answer.trace.submitted:
        raise Usage("the code submitted no answer", "give the right code: /save submit(len(df))")
    elif corrected:
        messages[-1]["content"] = corrected
    elif answer.ending != "stop":
        raise Usage("the answer is not complete", "give the right one: /save TEXT")
    for message in messages[:-1]:
        if message["role"] == "assistant":
            message["weight"] = 0
    return {"messages": messages} | ({"episode": "chat"} if answer.trace else {})
