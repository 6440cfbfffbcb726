"""The bundled tiny model with an adapter that changes what it says."""

from pathlib import Path

import pytest

from datagen.chat.commands import Commands
from datagen.chat.conversation import Conversation
from datagen.chat.screen import Screen
from datagen.chat.training_rows import TrainedOn
from datagen.models.local.model import Engine, Generation
from datagen.models.local.weights import find_model

TINY = Path(__file__).parents[3] / "trainer" / "tiny" / "model"
TOKENS = 24


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("run") / "adapter"
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(TINY), config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def engine(adapter: Path) -> Engine:
    return Engine(find_model(str(adapter)), Generation(tokens=TOKENS))


@pytest.fixture
def chat(engine: Engine) -> Conversation:
    return Conversation(engine, Screen())


@pytest.fixture
def commands(chat: Conversation, tmp_path: Path) -> Commands:
    return Commands(chat, TrainedOn(model="bundled:tiny"), tmp_path / "rows.jsonl")
