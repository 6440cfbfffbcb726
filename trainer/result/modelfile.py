"""An Ollama Modelfile for a merged model: its chat template in Ollama's language, and its stop token."""

from trainer.data.templates import ChatFormat

SYSTEM, USER, ANSWER, AGAIN = "SYSTEM-1", "QUESTION-1", "ANSWER-1", "QUESTION-2"
CONTENT = "{{ .Content }}"


def modelfile(chat_format: ChatFormat, source: str = ".", adapter: str | None = None) -> str:
    """Return the text. ``source``: a folder or GGUF file, and ``adapter``: a LoRA's, beside the Modelfile.

    It has no tool calls. A template that cannot be split by role is left out: Ollama knows the usual ones.
    """
    stop = chat_format.stop.replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f"FROM {source}",
        *([f"ADAPTER {adapter}"] if adapter else ()),
        f'PARAMETER stop "{stop}"',
    ]
    if found := by_role(chat_format):
        without, system, user, assistant = found
        # No dashes: they would remove the template's line ends.
        lines.append(
            f'TEMPLATE """{{{{ if ne (index .Messages 0).Role "system" }}}}{without}{{{{ end }}}}'
            f'{{{{ range .Messages }}}}{{{{ if eq .Role "system" }}}}{system}'
            f'{{{{ else if eq .Role "user" }}}}{user}'
            f'{{{{ else if eq .Role "assistant" }}}}{assistant}'
            f'{{{{ end }}}}{{{{ end }}}}{chat_format.prompt}"""'
        )
    else:
        lines.append("# No TEMPLATE: Ollama uses the one it knows for this model's chat format.")
    return "\n".join(lines) + "\n"


def by_role(chat_format: ChatFormat) -> tuple[str, str, str, str] | None:
    """Return the start of a chat without a system message, and a system, user and assistant message.

    ``CONTENT`` stands for a message's text. The BOS is left out, as llama.cpp writes it. None for a template
    that does not write one message after the other.
    """
    tokenizer = chat_format.tokenizer
    chat = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": USER},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": AGAIN},
    ]
    try:
        two, three, four, alone = (
            chat_format.render(messages).removeprefix(tokenizer.bos_token or "")
            for messages in (chat[:2], chat[:3], chat, chat[1:2])
        )
    except ValueError:  # Gemma has no system messages
        return None
    if not three.startswith(two) or not four.startswith(three):
        return None
    answer = three.removeprefix(two)
    question = four.removeprefix(three).replace(AGAIN, USER)
    if not two.endswith(question) or not alone.endswith(question):
        return None
    system, without = two.removesuffix(question), alone.removesuffix(question)
    found = [(system, SYSTEM), (question, USER), (answer, ANSWER)]
    if any(text.count(mark) != 1 for text, mark in found):
        return None
    said = [text.replace(mark, CONTENT) for text, mark in found]
    return without, said[0], said[1], said[2]
