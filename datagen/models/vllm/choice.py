"""Choose the engine for weights on disk: transformers or vLLM."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from datagen.models.device import CARD, find_device
from datagen.models.vllm.server import COMMAND, why_not_servable
from trainer.contract.command.errors import ModelUnavailable

if TYPE_CHECKING:
    from datagen.models.local.weights import ModelLocation

ENGINES = ("auto", "transformers", "vllm")


def takes_vllm(engine: str, location: ModelLocation) -> bool:
    """Whether vLLM answers: `auto` takes it where its command and a card are, and it can serve these.

    Raises ModelUnavailable for weights that it should serve and cannot.
    """
    if engine == "transformers":
        return False
    found = why_not_servable(location)
    if engine == "vllm":
        if found is not None:
            raise ModelUnavailable(found, "use --engine transformers")
        return True
    return found is None and shutil.which(COMMAND) is not None and find_device() is CARD
