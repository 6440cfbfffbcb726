"""Every key of a row and of a message that OpenAI, TRL, ShareGPT, LLaMA-Factory, Axolotl, ms-swift and verl write.

A key is read, refused, or ignored and listed. An unknown one is reported with the nearest name; one that sounds
like a mask is refused, because a turn that is meant as context would be trained.
"""

import difflib
import re

# name: the formats that have it
ROW_READ = {
    "messages": "OpenAI, TRL, ms-swift, open-instruct, verl",
    "conversations": "ShareGPT, LLaMA-Factory, Axolotl",
    "prompt": "TRL, verl",
    "completion": "TRL",
    "instruction": "Alpaca, LLaMA-Factory, Axolotl",
    "input": "Alpaca",
    "output": "Alpaca",
    "query": "ms-swift",
    "response": "ms-swift, verl",
    "history": "LLaMA-Factory, ms-swift",
    "system": "LLaMA-Factory, ms-swift, Axolotl",
    "tools": "OpenAI; TRL and LLaMA-Factory also as JSON text",
    "chat_template_kwargs": "TRL",
    "enable_thinking": "verl",
    "reasoning_effort": "OpenAI",
    "episode": "datagen export",
}
ROW_REFUSED = {
    "functions": ("is the old form", "write 'tools'"),
    "text": ("does not show which turns are the assistant's", "write 'messages' instead"),
    "input_ids": ("does not show which turns are the assistant's", "write 'messages' instead"),
    "chosen": ("is one answer of a preference pair", "write 'completion' for the answer to train"),
    "rejected": (
        "is one answer of a preference pair",
        "remove it: only 'completion' can be trained",
    ),
    "rejected_response": ("is one answer of a preference pair", "remove it"),
    "rejected_messages": ("is one answer of a preference pair", "remove it"),
    "system_prompt": ("is not read", "rename it to 'system', or remove it"),
    "system_message": ("is not read", "rename it to 'system', or remove it"),
    **dict.fromkeys(
        ("images", "image", "videos", "video", "audios", "audio", "objects"),
        ("is not text that can be trained on", "remove the row"),
    ),
}
# False in these marks an answer that is undesired (TRL's and LLaMA-Factory's rows for KTO).
LIKED = ("label", "kto_tag")
MESSAGE_READ = {
    "role": "OpenAI",
    "content": "OpenAI",
    "from": "ShareGPT",
    "value": "ShareGPT",
    "tool_calls": "OpenAI",
    "tool_call_id": "OpenAI",
    "name": "OpenAI",
    "tools": "Phi-4-mini, in the system message",
    "weight": "OpenAI, Axolotl",
    "loss": "ms-swift",
    "train": "Axolotl",
    "training": "Axolotl",
    "reasoning_content": "DeepSeek, vLLM",
    "reasoning": "OpenRouter, vLLM",
    "thinking": "Ollama, gpt-oss",
}
MESSAGE_REFUSED = {
    "audio": ("is not text that can be trained on", "remove the message"),
    "refusal": ("is not text that can be trained on", "remove the message"),
    "images": ("is not text that can be trained on", "remove the message"),
    "function_call": ("is not text that can be trained on", "write it as 'tool_calls'"),
    "channel": (
        "is a part of an answer in gpt-oss's form",
        "write one message with 'reasoning_content'",
    ),
    "recipient": ("is a part of an answer in gpt-oss's form", "write the call as 'tool_calls'"),
    "prefix": ("marks an answer that is not whole", "write the whole answer"),
    "partial": ("marks an answer that is not whole", "write the whole answer"),
}
HARMLESS = {"channel": "final", "recipient": "all"}
# These cannot change what is trained.
MESSAGE_IGNORED = frozenset(
    "id index timestamp created created_at date model finish_reason stop_reason logprobs usage cost citations "
    "annotations metadata provider language lang type reasoning_details token_count tokens uuid author user_id "
    "turn".split()
)
MASK = re.compile(
    r"weig|mask|train|loss|label|learn|supervis|ignore|skip|exclu|includ|hidden|context_?only|target|predict|(^|_)grad",
    re.IGNORECASE,
)
ROW_MASK = re.compile(
    r"mask|(^|_)weights?$|^loss|^labels$|^train(_on_\w+|able|ing)?$", re.IGNORECASE
)
THOUGHTS = re.compile(r"reason|think|thought|^cot$|chain_of", re.IGNORECASE)
TOOLS = re.compile(r"(^|_)tools?$|^tool_(def|schema|list)|^functions?_|_functions$", re.IGNORECASE)


def looks_like_mask(key: str) -> bool:
    return bool(MASK.search(key)) or bool(nearest(key, ("weight",)))


def nearest(key: str, names: object) -> str:
    """The name that ``key`` may be a misspelling of, or ""."""
    found = difflib.get_close_matches(key, list(names), n=1, cutoff=0.75)  # type: ignore[call-overload]
    return str(found[0]) if found else ""


NAMES = frozenset({*ROW_READ, *ROW_REFUSED, *MESSAGE_READ, *MESSAGE_REFUSED, *MESSAGE_IGNORED})
