"""The way from the public port to a pod's sshd: a TCP proxy that can be slow, cut or led astray."""

import asyncio
import time

CHUNK = 1 << 16
AHEAD = 256


class Link:
    """A public port on the loopback. `target` is where it leads; None accepts and hangs up.

    Lives in the emulator's event loop; `cut` and the attributes may be used from any thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._down_until = 0.0
        self.port = 0
        self.target: int | None = None
        self.rtt = 0.0
        self.bytes_in = 0
        """What clients have sent, all connections together."""

    def open(self) -> None:
        """Takes a port. Blocks: not for the loop's own thread."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *, down: float = 0.0) -> None:
        """Breaks every connection; new ones are hung up on for `down` seconds."""
        self._down_until = time.monotonic() + down
        self._loop.call_soon_threadsafe(self._abort)

    def close(self) -> None:
        """Gives the port back and breaks what is open."""
        self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await self._dial()
        if inner is None:
            writer.close()
            return
        both = {writer, inner[1]}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pass(reader, inner[1], counted=True),
                self._pass(inner[0], writer, counted=False),
            )
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        if self.target is None or time.monotonic() < self._down_until:
            return None
        try:
            return await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        except OSError:
            return None

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        """One direction. Chunks wait for their time in a queue, so that delay costs no bandwidth."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)
        sending = asyncio.ensure_future(_send(queue, sink))
        try:
            chunk = b"?"
            while chunk:
                try:
                    chunk = await source.read(CHUNK)
                except OSError:
                    chunk = b""
                if counted:
                    self.bytes_in += len(chunk)
                await queue.put((time.monotonic() + self.rtt / 2, chunk))
            await sending
        finally:
            sending.cancel()


async def _send(queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    """Empties the queue to its end, into nothing once `sink` is broken."""
    broken = False
    while True:
        due, chunk = await queue.get()
        wait = due - time.monotonic()
        if wait > 0 and not broken:
            await asyncio.sleep(wait)
        try:
            if not broken and chunk:
                sink.write(chunk)
                await sink.drain()
            elif not broken:
                sink.write_eof()
        except (OSError, RuntimeError):
            broken = True
        if not chunk:
            return
