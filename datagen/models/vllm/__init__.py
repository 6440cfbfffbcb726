"""Models on disk answering through vLLM: faster by far on a card, where a `vllm` command is there.

vLLM pins libraries that do not go together with the trainer's, so it needs a separate environment
and is started as a command. It sees prompts only as token ids: renderer, tokenizer and chat template
stay ours (see `datagen.models.local.token_ids`), so that it reads what the trainer trained on.
"""
