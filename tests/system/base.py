"""A base image in which ``pip install`` works as it does on this machine.

Debian's Python 3.11, the host's CA bundle, and pip's configuration as this machine has it: the
folders that ``find-links`` names are copied in at the same path. Nothing about the machine is
written down here; it is read when the image is made.
"""

import ast
import os
import ssl
import subprocess
import sys
from pathlib import Path

from tests.system.engine import DEBIAN, Engine

TAG = "sft-base:test"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "ca-certificates python3 python3-pip python3-venv"


def python_base(engine: Engine) -> str:
    """`TAG`, made when this machine's bundle, pip settings or wheels are not those it was made from."""
    settings = pip_settings()
    folders = [Path(word) for word in settings.get("find-links", "").split() if Path(word).is_dir()]
    # A `file:` index is a mirror of whole gigabytes; what the index proper has is enough.
    extra = [
        url for url in settings.get("extra-index-url", "").split() if not url.startswith("file:")
    ]
    kept = {
        "find-links": " ".join(str(folder) for folder in folders),
        "extra-index-url": " ".join(extra),
        "index-url": settings.get("index-url", ""),
        "trusted-host": settings.get("trusted-host", ""),
        "cert": BUNDLE,
    }
    config = "[global]\n" + "".join(f"{key} = {value}\n" for key, value in kept.items() if value)
    copies = "".join(f"COPY {folder.name} {folder}/\n" for folder in folders)
    dockerfile = f"""\
FROM {DEBIAN}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \\
    --no-install-recommends {PACKAGES} && rm -rf /var/lib/apt/lists/*
COPY bundle.crt {BUNDLE}
COPY pip.conf /etc/pip.conf
{copies}"""
    return engine.build(
        TAG,
        {
            "Dockerfile": dockerfile.encode(),
            "bundle.crt": _bundle(settings).read_bytes(),
            "pip.conf": config.encode(),
            **{folder.name: folder for folder in folders},
        },
    )


def pip_settings() -> dict[str, str]:
    """What pip would use here: its files first, then the environment, which wins."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.partition("=") for line in listed.splitlines() if "=" in line]
    rows.sort(key=lambda row: row[0].startswith(":env:"))
    return {key.rpartition(".")[2]: str(ast.literal_eval(value)) for key, _, value in rows}


def _bundle(settings: dict[str, str]) -> Path:
    default = ssl.get_default_verify_paths()
    said = settings.get("cert"), os.environ.get("SSL_CERT_FILE"), default.cafile, BUNDLE
    return next(Path(path) for path in said if path and Path(path).is_file())
