"""A run on the bundled model, whose weights are trained: random ones have flat logits, which hide faults."""

import importlib.util
import json

import pytest

NEEDED = ("conversion", "sentencepiece", "xllamacpp")


@pytest.fixture(autouse=True, scope="session")
def _installed():
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra gguf is missing: {', '.join(missing)}")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    from trainer.contract.job import from_sources
    from trainer.start_training import train

    folder = tmp_path_factory.mktemp("gguf")
    data = folder / "rows.jsonl"
    rows = [
        [
            {"role": "system", "content": f"Columns: name, unit_price, {n}"},
            {"role": "user", "content": "What is the mean of unit_price?\n\n  It's 'mean'."},
            {"role": "assistant", "content": "submit(df['unit_price'].mean())"},
        ]
        for n in range(6)
    ]
    data.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    places = {"model": "bundled:tiny", "data": str(data), "output": str(folder / "run")}
    settings = ["max_steps=30", "batch_size=6", "lr=0.01", "lora.r=4", "max_length=256"]
    job = from_sources(None, settings, places)
    train(job, resume=False, overwrite=False, say=lambda _: None)
    return folder / "run"
