"""Which models answer, through which API, for how much: declared once, in `[datagen]` of launch.toml.

`trainer.contract.command.settings` lists the sources; in the environment it is SFT_DATAGEN_<NAME>.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from datagen.models.paid_api.prices import Price
from trainer.contract.command.settings import Declared, config_folder

OPENROUTER = "https://openrouter.ai/api/v1"
OPENROUTER_KEY = "OPENROUTER_API_KEY"
OPENROUTER_BUDGET = Decimal(2)


class TeacherSettings(BaseModel):
    """Money in USD, prices in USD per million tokens, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Open weights under Apache-2.0, which puts no condition on what is made with the outputs, and
    # among the cheapest models that write pandas code well.
    teacher_model: str = Field(
        "openai/gpt-oss-120b", min_length=1, description="model that answers questions"
    )
    question_gen_model: str | None = Field(
        None, description="model that proposes questions (default: the teacher)"
    )
    audit_model: str | None = Field(
        None,
        description="model of another family that answers a sample of the verified questions again",
    )
    teacher_licence: str | None = Field(
        None, description="licence of the teacher for the dataset card, if datagen does not know it"
    )
    base_url: str = Field(
        OPENROUTER,
        pattern=r"^https?://[^\s/]+",
        description="URL of an OpenAI-compatible API, such as vLLM or llama-server",
    )
    openrouter: bool | None = Field(
        None,
        description="yes: the URL accepts OpenRouter's extensions (default: yes for OpenRouter's host)",
    )
    key_name: str | None = Field(
        None,
        description=f"variable in the environment or .env that holds the API key (default: {OPENROUTER_KEY} at OpenRouter)",
    )
    max_cost: Decimal | None = Field(
        None,
        gt=0,
        description=f"maximum cost of all calls together, in dollars (default: {OPENROUTER_BUDGET} at OpenRouter)",
    )
    price: str = Field(
        "",
        description="dollars per million input/output tokens, such as 0.1/0.5, or MODEL=0.1/0.5 for one"
        " of several models; replaces the price that the API lists",
    )
    temperature: float = Field(1.0, ge=0, le=2, description="sampling temperature")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling")
    max_tokens: int = Field(
        8192, ge=1, description="maximum tokens of a reply, including reasoning"
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        None,
        description="how much the model reasons before it answers (default: the model's default)",
    )
    providers: str = Field("", description="OpenRouter providers to use, in order, such as 'a,b'")
    quantizations: str = Field("", description="quantisations to accept, such as 'bf16,fp8'")
    enforce_distillable: bool = Field(
        True, description="no: also use models that forbid training on their outputs"
    )
    concurrency: int = Field(
        64, ge=1, le=5000, description="maximum number of simultaneous calls to a model"
    )
    timeout: float = Field(300.0, gt=0, description="maximum seconds to wait for a reply")

    @field_validator("base_url")
    @classmethod
    def _no_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("price")
    @classmethod
    def _prices_read(cls, value: str) -> str:
        _stated(value)
        return value

    @property
    def at_openrouter(self) -> bool:
        """Whether OpenRouter's extensions are sent and understood."""
        if self.openrouter is not None:
            return self.openrouter
        host = urlsplit(self.base_url).hostname or ""
        return host == "openrouter.ai" or host.endswith(".openrouter.ai")

    @property
    def budget(self) -> Decimal | None:
        """The most to spend; None means no limit."""
        if self.max_cost is None and self.at_openrouter:
            return OPENROUTER_BUDGET
        return self.max_cost

    @property
    def secret_name(self) -> str | None:
        """The key to send. OpenRouter's goes to no one else unless it is named."""
        return self.key_name or (OPENROUTER_KEY if self.at_openrouter else None)

    def stated_prices(self) -> dict[str, Price]:
        """The prices given here by model; the one for all others has the name ''."""
        return _stated(self.price)

    def models(self) -> list[str]:
        """The distinct models in use, the teacher first."""
        named = (self.teacher_model, self.question_gen_model, self.audit_model)
        return [*dict.fromkeys(name for name in named if name)]


def _stated(prices: str) -> dict[str, Price]:
    found = {}
    for part in prices.split():
        model, _, rates = part.rpartition("=")
        found[model] = Price.stated(rates)
    return found


DECLARED = Declared(
    kind=TeacherSettings,
    table="datagen",
    prefix="SFT_DATAGEN_",
    listing="datagen episodes --help",
)


def add_flags(parser: ArgumentParser, *, only: Collection[str] = ()) -> None:
    """A flag for each setting, or for those named; read them back with `given`."""
    DECLARED.add_flags(parser, only=only)


def given(options: Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    return DECLARED.given(options)


def load(flags: Mapping[str, Any]) -> TeacherSettings:
    """The settings from every source. Raises BadJob naming the source and the setting."""
    folder = config_folder(variable, Path.home())
    return DECLARED.read(flags, variable=variable, folder=folder)[0]


def variable(name: str) -> str:
    """An environment variable; empty when it is not set."""
    return os.environ.get(name, "")
