"""The log stream: server-sent events until the client leaves or the pod is gone."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from tests.system.emulator import faults
from tests.system.emulator.answers import Answers, gone
from tests.system.emulator.logs import sources
from tests.system.emulator.pod import Pod

LOOK = 0.05
ALIVE = 10.0


async def stream(
    request: web.Request,
    pod: Pod,
    answers: Answers,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Serves ``GET /v2/pods/{id}/logs``.

    Raises:
        Problem: 422, a query against the rules; nothing has been sent then.
    """
    wanted = sources(request.query)
    again, cut = answers.get(faults.RepeatLogs), answers.get(faults.CutLogs)
    seq = pod.log.begin(
        request.query,
        request.headers.get("Last-Event-ID"),
        repeat=again.lines if again else 0,
    )
    left = cut.after_lines if cut else None
    response = web.StreamResponse(
        headers={**headers, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    quiet = 0.0
    try:
        while True:
            for line in pod.log.after(seq, wanted):
                await response.write(line.event())
                seq, quiet = line.seq, 0.0
                left = None if left is None else left - 1
                if left == 0:
                    if request.transport is not None:
                        request.transport.abort()
                    return response
            if pod.status == "TERMINATED" and not pod.life.thread.is_alive():
                break
            if quiet >= ALIVE:
                await response.write(b": alive\n\n")
                quiet = 0.0
            await asyncio.sleep(LOOK)
            quiet += LOOK
            if gone(request):
                break
    except ConnectionResetError:
        pass
    return response
