"""Captured output, bounded while it is written: the head and the tail stay, the middle is counted."""

import io


class CappedText(io.TextIOBase):
    """A text stream that keeps at most ``limit`` characters and a line saying how many it left out."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._head = ""
        self._tail = ""
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._written += len(text)
        room = self._head_limit - len(self._head)
        self._head += text[:room]
        self._tail = (self._tail + text[room:])[-self._tail_limit :]
        return len(text)

    def value(self) -> str:
        left_out = self._written - len(self._head) - len(self._tail)
        if not left_out:
            return self._head + self._tail
        return f"{self._head}\n... {left_out} characters left out ...\n{self._tail}"
