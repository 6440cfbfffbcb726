"""Our trainer against the loop of the seed script, made to run, on the tiny model and the same rows.

The seed's loop: batches of 2 padded to their longest row, 4 of them a step, in random order, every
token through the head and in the loss. Both are counted in assistant tokens, those worth training.
"""

import json
import math
import random
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
ROWS, EFFECTIVE = 256, 8


def chats(seed: int) -> list[list[dict[str, str]]]:
    """Multi-turn chats whose lengths are log-normal (sigma 0.8), as agent episodes are."""
    rng = random.Random(seed)
    found = []
    for _ in range(ROWS):
        words = min(600, max(20, round(math.exp(rng.gauss(4.4, 0.8)))))
        turns = rng.choice([1, 1, 2, 3])
        messages = [{"role": "system", "content": "Use pandas, then submit(answer)."}]
        for _ in range(turns):
            said = " ".join(rng.choices(["row", "column", "table", "mean", "of"], k=words // turns))
            code = "\n".join(
                f'df["column_{n}"].mean()' for n in range(max(1, words // turns // 12))
            )
            messages += [
                {"role": "user", "content": said},
                {"role": "assistant", "content": f"```python\n{code}\n```"},
            ]
        found.append(messages)
    return found


def seeds_loop(rows: list[list[dict[str, str]]], model_folder: Path) -> float:
    """Seconds for one epoch of the seed's loop."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-5)
    texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in rows]
    random.Random(0).shuffle(texts)
    started = time.perf_counter()
    for at in range(0, len(texts), 2):
        batch = tokenizer(texts[at : at + 2], return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        (model(input_ids=ids, attention_mask=mask, labels=labels).loss / 4).backward()
        if at % EFFECTIVE == EFFECTIVE - 2:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return time.perf_counter() - started


def test_trained_tokens_per_second(tmp_path: Path):
    from trainer.contract.job import from_sources
    from trainer.pretrained import find
    from trainer.start_training import train

    rows = chats(0)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"messages": m}) + "\n" for m in rows))
    sets = ["epochs=1", f"batch_size={EFFECTIVE}", "max_length=2048"]
    job = from_sources("tiny", sets, {"data": str(data), "output": str(tmp_path / "run")})
    train(job, resume=False, overwrite=False, say=lambda _line: None)
    metrics = json.loads((tmp_path / "run" / "manifest.json").read_text())["metrics"]
    baseline = seeds_loop(rows, Path(find(job).place))
    trained, ours = metrics["trained_tokens"], metrics["train_seconds"]
    print(f"\n{ROWS} chats, {metrics['tokens']:,} tokens, {trained:,} trained")
    print("                          seconds   trained tokens/s")
    print(f"the seed's loop           {baseline:>7.1f}   {trained / baseline:>9,.0f}")
    print(f"python -m trainer         {ours:>7.1f}   {trained / ours:>9,.0f}")
    print(f"ratio                               {baseline / ours:>9.2f}")
