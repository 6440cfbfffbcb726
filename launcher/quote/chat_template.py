"""A model's chat template and tokenizer, from its files on this machine: rows rendered and counted without torch.

Renders like transformers' ``apply_chat_template``; a test compares the two.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from trainer.contract.row_messages import REASONING

TOKENIZER, CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
CHAT = (
    {"role": "user", "content": "QUESTION-1"},
    {"role": "assistant", "content": "ANSWER-1"},
    {"role": "user", "content": "QUESTION-2"},
    {"role": "assistant", "content": "ANSWER-2"},
)
TOOLS = [{"type": "function", "function": {"name": "TOOL-1", "description": "", "parameters": {}}}]
DAY = datetime(2024, 7, 26, tzinfo=UTC)  # as in the trainer; any day has as many tokens


class ChatTemplate:
    """Renders and counts the chats of one model."""

    def __init__(self, folder: Path) -> None:
        """Raises ``OSError``, ``ValueError``, ``ImportError`` or a jinja error if the files do not suffice."""
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        self._special = {name: _text(config.get(name)) for name in NAMED}
        self._template = _environment().from_string(_source(folder, config))
        tokenizers = import_module(
            "tokenizers"
        )  # comes with training; without it lengths are estimated
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._parts = self._system_tools = False
        self._parts = "ANSWER-1" not in self._try(CHAT)
        asked = [{"role": "system", "content": "SYSTEM-1"}, *CHAT[:1]]
        self._system_tools = "TOOL-1" not in self._try(asked, TOOLS)
        self.rewrites = not self.render(CHAT).startswith(
            self.render(CHAT[:2]).partition("ANSWER-1")[0] + "ANSWER-1"
        )

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        *,
        prompt: bool = False,
        **options: Any,
    ) -> str:
        plain = [self._plain(message) for message in messages]
        if self._system_tools and tools and plain and plain[0]["role"] == "system":
            plain[0]["tools"] = json.dumps([tool["function"] for tool in tools])
        found: str = self._template.render(
            messages=plain,
            tools=tools,
            documents=None,
            add_generation_prompt=prompt,
            **{name: text for name, text in self._special.items() if text},
            **options,
        )
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        found = self._tokenizer.encode_batch_fast([*texts], add_special_tokens=False)
        return [len(one) for one in found]

    def _plain(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message as any template reads it: thoughts under every name, content as text or a list of parts."""
        found = {key: message[key] for key in message if key != "weight"}
        if thought := found.get("reasoning_content"):
            found |= dict.fromkeys(REASONING, thought)
        if self._parts:
            found["content"] = [{"type": "text", "text": found["content"]}]
        return found

    def _try(self, *chat: Any) -> str:
        with suppress(Exception):
            return self.render(*chat)
        return ""


def folders(model: str, hub: Path) -> Iterator[Path]:
    """Yield where a model's files may be: its own folder, the package's, the hub's cache."""
    kind, _, name = model.partition(":")
    if kind == "bundled" and name:
        from trainer import contract

        yield Path(str(contract.__file__)).parent.parent / name / "model"
    yield Path(model).expanduser()
    yield from (hub / "hub" / f"models--{model.replace('/', '--')}" / "snapshots").glob("*")


def open_template(model: str, hub: Path) -> ChatTemplate | None:
    """The model's template, if its files are on this machine and can be read here."""
    for folder in folders(model, hub):
        # Foreign files and code: where they cannot be read, the plan estimates.
        with suppress(Exception):
            return ChatTemplate(folder)
    return None


def _source(folder: Path, config: dict[str, Any]) -> str:
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text("utf-8-sig")
    found = config["chat_template"]
    if isinstance(found, list):
        found = next(one["template"] for one in found if one["name"] == "default")
    return str(found)


def _text(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _environment() -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks answers in some templates; only its content is rendered."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def as_json(
        value: object, ensure_ascii: bool = False, indent: int | None = None, **more: Any
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = as_json
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = DAY.strftime
    return made
