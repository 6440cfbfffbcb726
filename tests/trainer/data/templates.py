"""Small chat templates of families that TRL ships none of, written after the published ones; and their tokens."""

import re
from pathlib import Path

from tests.trainer.conftest import byte_level_bpe, shipped_template

# mistralai/Mistral-7B-Instruct-v0.3: the tools and the system message stand before the last question only, and the
# system message only if nothing follows it; ids of nine characters.
MISTRAL_V3 = """\
{%- set chat = messages[1:] if messages[0].role == 'system' else messages %}
{%- set asked = chat | selectattr('role', 'equalto', 'user') | list %}
{{- bos_token }}
{%- for m in chat %}
{%- if m.role == 'user' %}
{%- if tools and m == asked[-1] %}{{ '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}
{{- '[INST] ' + (messages[0].content + '\n\n' if loop.last and messages[0].role == 'system' else '') }}
{{- m.content + '[/INST]' }}
{%- elif m.tool_calls is defined %}
{{- '[TOOL_CALLS] [' }}
{%- for call in m.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}
{{- (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' + ('' if loop.last else ', ') }}
{%- endfor %}
{{- ']' + eos_token }}
{%- elif m.role == 'assistant' %}
{{- ' ' + m.content + eos_token }}
{%- else %}
{%- if m.tool_call_id | length != 9 %}{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}
{{- '[TOOL_RESULTS] {"content": ' + m.content + ', "call_id": "' + m.tool_call_id + '"}[/TOOL_RESULTS]' }}
{%- endif %}
{%- endfor %}"""
# mistralai/Mistral-7B-Instruct-v0.1: no generation prompt, no tokens but <s> and </s>.
MISTRAL_V1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ m.content + eos_token + ' ' }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
# microsoft/Phi-4-mini-instruct: an end token when no answer is asked for; tools only inside a system message.
PHI4_MINI = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% if m.role == 'system' and m.tools %}"
    "{{ '<|tool|>' + m.tools + '<|/tool|>' }}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
# zai-org/GLM-4-9B-0414: nothing ends an answer; the next message's first token does.
GLM4 = (
    "[gMASK]<sop>{% if tools %}<|system|>\n{{ tools | tojson }}{% endif %}{% for m in messages %}"
    "{% if m.tool_calls %}<|assistant|>{{ m.tool_calls[0].function.name }}\n"
    "{{ m.tool_calls[0].function.arguments | tojson }}{% else %}"
    "<|{{ 'observation' if m.role == 'tool' else m.role }}|>\n{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# meta-llama/Llama-2-7b-chat-hf
LLAMA2 = (
    "{% set chat = messages[1:] if messages[0].role == 'system' else messages %}{% for m in chat %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}{% if loop.first and messages[0].role == 'system' %}"
    "{{ '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' }}{% endif %}{{ m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# HuggingFaceH4/zephyr-7b-beta, and lmsys/vicuna-7b-v1.5, whose turns have no special token but the end of an answer.
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
VICUNA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}"
    "{% elif m.role == 'assistant' %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% else %}"
    "{{ m.content + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# upstage/SOLAR-10.7B-Instruct-v1.0: nothing ends an answer, and models stop at the end-of-text token.
SOLAR = (
    "{{ bos_token }}{% for m in messages %}{{ '### ' + m.role | capitalize + ':\\n' + m.content | trim + '\\n\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"
)
# ibm-granite/granite-3.3-2b-instruct
GRANITE = (
    "{% for m in messages %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
WRITTEN = {
    "mistral_v1": MISTRAL_V1,
    "mistral_v3": MISTRAL_V3,
    "phi4_mini": PHI4_MINI,
    "glm4": GLM4,
    "llama2": LLAMA2,
    "zephyr": ZEPHYR,
    "vicuna": VICUNA,
    "solar": SOLAR,
    "granite": GRANITE,
    # The larger Gemma 4 models: a prompt without thoughts begins with an empty channel, which answers do not have.
    "gemma4_large": shipped_template("gemma4_v5").replace(
        "{{- '<|turn>model\\n' -}}\n    {%- elif",
        "{{- '<|turn>model\\n' }}{% if not enable_thinking %}{{ '<|channel>thought\\n<channel|>' }}{% endif %}"
        "\n    {%- elif",
    ),
    # deepseek-ai/DeepSeek-V3: TRL's, which is DeepSeek-R1's, without the thoughts that it asks for.
    "deepseek_v3": shipped_template("deepseekv3").replace("<think>\\n", ""),
}
SPECIAL = re.compile(
    r"<\|?/?[a-zA-Z_]+\|>|<\|[a-zA-Z_]+\|?>|<｜[^<>{}'\"]+?｜>|<(?:bos|eos|start_of_turn|end_of_turn|end_of_utterance|sop)>"
    r"|\[gMASK\]|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]"
)
# What the templates compose: '<|' + role + '|>'.
ROLES = [f"<|{role}|>" for role in ("system", "user", "assistant", "observation", "tool", "end")]
ENDS = (
    *(
        "<|im_end|>",
        "<|eot_id|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<turn|>",
        "<|return|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    *("<｜end▁of▁sentence｜>", "<|end_of_text|>"),
)


# Their content is a list of parts, as people pass it to a processor.
PARTS = {"idefics3", "llava_next", "smolvlm"}


def as_passed(name: str, messages: list[dict]) -> list[dict]:
    """The messages as people pass them to the template of this name at inference."""
    if name not in PARTS:
        return messages
    return [m | {"content": [{"type": "text", "text": m["content"]}]} for m in messages]


def names() -> list[str]:
    """All templates: those of this module, and TRL's published ones of text models."""
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    shipped = {path.stem for path in folder.glob("*.jinja") if "training" not in path.stem}
    return sorted(WRITTEN.keys() | shipped)


def tokenizer_for(name: str):
    """A byte-level BPE with the special tokens that the template of this name writes."""
    from transformers import PreTrainedTokenizerFast

    template = WRITTEN.get(name) or shipped_template(name)
    found = {*SPECIAL.findall(template)} - {'<|"|>'}
    if name in {"phi4_mini", "glm4", "zephyr"}:
        found |= {*ROLES}
    end = next((text for text in ENDS if text in found), "</s>")
    end = "<|endoftext|>" if name.startswith(("phi", "glm")) else end
    begins = {"gemma": "<bos>", "deeps": "<｜begin▁of▁sentence｜>"}
    begin = begins.get(name[:5], "<s>")
    special = sorted({*found, begin, end, "<pad>"})
    backend = byte_level_bpe(special, vocab_size=500)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=begin,
        eos_token=end,
        pad_token="<pad>",
        additional_special_tokens=[text for text in special if text not in {begin, end, "<pad>"}],
        chat_template=template,
    )
