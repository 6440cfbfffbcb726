"""``python -m datagen.sandbox serve --socket PATH --tables DIR``: the sandbox as a service.

``python -m datagen.sandbox FD`` is the server of one sandbox, started by ``process.py`` alone.
"""

import socket
import sys

if __name__ == "__main__":
    word, *rest = sys.argv[1:] or ["serve"]
    if word == "serve":
        from datagen.sandbox.process import serve_clean

        serve_clean(rest)
    if word == "serve-here":
        from datagen.sandbox.service import main

        raise SystemExit(main(rest))
    from datagen.sandbox.server import run

    raise SystemExit(run(socket.socket(fileno=int(word))))
