"""``python -m datagen.sandbox serve --socket PATH --tables DIR``: the sandbox as a service.

``python -m datagen.sandbox FD`` is the server of one sandbox, started by ``start_server.py`` alone.
"""

import socket
import sys

if __name__ == "__main__":
    word, *rest = sys.argv[1:] or ["serve"]
    if word == "serve":
        from datagen.sandbox.start_server import serve_clean

        serve_clean(rest)
    if word == "serve-here":
        from datagen.sandbox.server.service import main

        raise SystemExit(main(rest))
    from datagen.sandbox.server.table_server import run

    raise SystemExit(run(socket.socket(fileno=int(word))))
