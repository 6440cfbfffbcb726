import re

import pytest

from tests.trainer.data.templates import names, tokenizer_for
from trainer.data.templates import freeze, learn_format, render
from trainer.result.modelfile import by_role, modelfile

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "what is the mean?"},
    {"role": "assistant", "content": "submit(1)"},
    {"role": "user", "content": "and the sum?"},
]
PART = re.compile(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}(.*?)(?=\{\{ (?:else|end))', re.DOTALL)


def format_of(tokenizer):
    freeze(tokenizer)
    return learn_format(tokenizer)


def as_ollama_writes(text, messages):
    """The few words of Go's templates that a Modelfile uses here."""
    template = text.partition('TEMPLATE """')[2].removesuffix('"""\n')
    without, _, rest = template.partition('.Role "system" }}')[2].partition("{{ end }}")
    parts = dict(PART.findall(rest))
    said = "".join(parts[m["role"]].replace("{{ .Content }}", m["content"]) for m in messages)
    opening = "" if messages[0]["role"] == "system" else without
    return opening + said + rest.rpartition("{{ end }}")[2]


@pytest.mark.parametrize("family", ["chatml", "qwen2_5", "llama3_2"])
@pytest.mark.parametrize("messages", [CHAT, CHAT[1:], CHAT[:2], CHAT[1:2]])
def test_ollama_would_write_what_the_template_writes(tokenizer_of, family, messages):
    chat_format = format_of(tokenizer_of(family))
    tokenizer = chat_format.tokenizer
    text = modelfile(chat_format)
    expected = render(tokenizer, messages, add_generation_prompt=True)
    assert as_ollama_writes(text, messages) == expected.removeprefix(tokenizer.bos_token or "")
    assert text.startswith(f'FROM .\nPARAMETER stop "{chat_format.stop}"\nTEMPLATE """')
    assert "{{-" not in text
    assert "-}}" not in text


@pytest.mark.parametrize("name", names())
def test_every_template_that_can_be_trained_has_a_modelfile(name):
    assert modelfile(format_of(tokenizer_for(name))).startswith("FROM .\nPARAMETER stop ")


def test_a_template_that_rewrites_earlier_turns_is_left_to_ollama(tokenizer_of):
    chat_format = format_of(tokenizer_of("qwen3"))
    assert by_role(chat_format) is None
    assert 'TEMPLATE "' not in modelfile(chat_format)
    assert "# No TEMPLATE" in modelfile(chat_format)
