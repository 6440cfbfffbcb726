"""The image from the real Dockerfile on a CPU base: what it promises, and what a change of it costs."""

import json
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import docker
import paramiko
import pytest

from launcher.image.build import Recipe, ensure_image, recipe
from tests.system.client import until
from tests.system.engine import DEBIAN
from tests.system.registry import Layer, blob, layers
from tests.system.shell import public
from trainer.contract import manifest, pod
from trainer.contract.job import Job

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

PYTHON = "/opt/sft/venv/bin/python"
OWNER = 1234 if os.getuid() == 0 else os.getuid()
MODULE = r"""
import importlib.util, os, subprocess, sysconfig, tempfile
with tempfile.TemporaryDirectory() as folder:
    source, library = os.path.join(folder, "m.c"), os.path.join(folder, "m.so")
    with open(source, "w") as file:
        file.write('''#include <Python.h>
#include <dlfcn.h>
static PyObject *two(PyObject *self, PyObject *args) { return PyLong_FromLong(2); }
static PyMethodDef methods[] = {{"two", two, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "m", 0, -1, methods};
PyMODINIT_FUNC PyInit_m(void) { return PyModule_Create(&module); }''')
    include = sysconfig.get_paths()["include"]
    subprocess.check_call(["gcc", source, "-O3", "-shared", "-fPIC", "-Wno-psabi", "-o", library,
                           "-I" + include, "-I" + folder])
    spec = importlib.util.spec_from_file_location("m", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print("two is", module.two())
"""
VERSION = "import sys; print(sys.version_info >= (3, 11))"
UNWANTED = (
    "root/.cache/*",
    "root/.netrc",
    "root/.docker/*",
    "var/lib/apt/lists/*_*",
    "var/cache/apt/*.bin",
    "*.deb",
    "*.whl",
    "tmp/*",
    "etc/ssh/ssh_host_*",
    "*/id_ed25519",
    "*.git/*",
    "opt/sft/*/.env",
    "opt/sft/launcher/*",
    "opt/sft/tests/*",
    "usr/bin/make",
    "usr/bin/g++*",
    "usr/bin/cmake",
    "usr/bin/git",
    "*/libbitsandbytes_[!c]*",
    "*/libbitsandbytes_cuda*",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with a job of a few rows in it."""
    work = tmp_path / "work"
    work.mkdir()
    talk = [("user", "what is 1 + 1?"), ("assistant", "submit(2)")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    (work / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 8, "utf-8")
    job = Job(
        model="bundled:tiny",
        data="rows.jsonl",
        output="out",
        max_steps=4,
        batch_size=2,
    )
    (work / "job.json").write_text(job.to_json(), "utf-8")
    for path in (work, *work.iterdir()):
        os.chown(path, OWNER, OWNER if os.getuid() == 0 else os.getgid())
    return work


def ran(engine, reference: str, command: list[str], **how) -> str:
    """What a container printed that has ended well."""
    try:
        said = engine.client.containers.run(reference, command, remove=True, stderr=True, **how)
    except docker.errors.ContainerError as fault:
        raise AssertionError(f"exit {fault.exit_status}: {fault.stderr.decode()}") from None
    text: str = said.decode()
    return text


def test_train_leaves_a_verified_adapter_to_the_user(engine, sft_image, folder):
    """Started as root, in a folder of somebody else's."""
    said = ran(
        engine,
        sft_image,
        ["train", "job.json"],
        volumes=[f"{folder}:/workspace"],
        network_mode="none",
    )
    assert manifest.verify(folder / "out").complete, said
    assert {path.stat().st_uid for path in folder.rglob("*")} == {OWNER}


def test_a_wrong_command_is_told_what_there_is(engine, sft_image):
    with pytest.raises(docker.errors.ContainerError) as caught:
        engine.client.containers.run(sft_image, ["sleep"], remove=True, stderr=True)
    assert caught.value.exit_status == 2
    assert b"train job.json, pod, or datagen VERB" in caught.value.stderr


def test_datagen_evaluates_in_it(engine, sft_image, folder):
    assert "VERB" in ran(engine, sft_image, ["datagen", "--help"])
    said = ran(
        engine,
        sft_image,
        ["datagen", "profile", "/opt/sft/datagen/tables/bundled/penguins.csv"],
        volumes=[f"{folder}:/workspace"],
        network_mode="none",
    )
    assert "species" in said


@pytest.mark.parametrize("user", ["0", "1234"])
def test_gcc_compiles_what_triton_compiles(engine, sft_image, user):
    said = ran(
        engine,
        sft_image,
        ["-c", MODULE],
        entrypoint=[PYTHON],
        user=user,
        network_mode="none",
    )
    assert "two is 2" in said


def test_a_base_without_python_gets_one_with_headers(engine, image_settings):
    what = recipe(image_settings)
    engine.client.images.build(
        fileobj=what.context(),
        custom_context=True,
        tag="sft-system:test",
        target="system",
        buildargs={"BASE_IMAGE": DEBIAN},
        rm=True,
    )
    python = {"entrypoint": ["python"], "network_mode": "none"}
    assert "two is 2" in ran(engine, "sft-system:test", ["-c", MODULE], **python)
    assert "True" in ran(engine, "sft-system:test", ["-c", VERSION], **python)


def test_everything_that_a_pod_imports_is_compiled(engine, sft_image):
    code = """
import importlib.util, pathlib, sys
import trainer.pod.supervise, trainer.pod.follow_training, trainer.pod.release, trainer.loop.loop, trainer.result.best_checkpoint
import datagen.evaluation.evaluate, datagen.models.local.model, datagen.verbs.evaluate, datagen.sandbox.server.table_server
def bare(paths):
    return [p for p in paths if not pathlib.Path(importlib.util.cache_from_source(p)).exists()]
files = [getattr(one, "__file__", None) or "" for one in sys.modules.values()]
ours = [p for p in map(pathlib.Path, files) if "/opt/sft" in p.as_posix() and "venv" not in p.parts]
print(len(ours), *sorted(p.name for p in bare(ours) if p.stat().st_size))
wheels = [p for p in pathlib.Path("/opt/sft/venv/lib").rglob("*.py") if p.stat().st_size]
print(len(wheels), len(bare(wheels)))
"""
    ours, wheels = ran(engine, sft_image, ["-c", code], entrypoint=[PYTHON]).splitlines()[-2:]
    count, *uncompiled = ours.split()
    assert (int(count) > 60, uncompiled) == (True, [])
    every, left = map(int, wheels.split())
    # A few wheels carry files that no Python of today can compile.
    assert left <= every / 1000


def test_pod_tells_its_host_key_and_lets_in_the_one_key(engine, sft_image, login, tmp_path):
    hour = time.time() + 3600
    settings = pod.PodSettings(run_id="r1", finish_by=hour, gone_by=hour + 60)
    container = engine.client.containers.run(
        sft_image,
        ["pod"],
        detach=True,
        environment={
            **settings.to_env(),
            pod.PUBLIC_KEY: public(login),
            "RUNPOD_POD_ID": "p1",
            "RUNPOD_API_KEY": "nobody",
            "RUNPOD_API_BASE_URL": "http://127.0.0.1:9",
        },
        ports={"22/tcp": ("127.0.0.1", None)},
    )
    try:

        def told() -> tuple[int, str] | None:
            lines = container.logs().decode().splitlines()
            return next(filter(None, (pod.parse_host_key(line, "r1") for line in lines)), None)

        boot, key = until(told, seconds=60)
        assert boot == 1
        container.reload()
        port = int(container.ports["22/tcp"][0]["HostPort"])

        def dial() -> paramiko.Transport | None:
            transport = paramiko.Transport(("127.0.0.1", port))
            try:
                transport.start_client(timeout=5)
                return transport
            except paramiko.SSHException:
                transport.close()
                return None

        with until(dial) as transport:
            assert public(transport.get_remote_server_key()) == key
            with pytest.raises(paramiko.SSHException):
                transport.auth_publickey("root", paramiko.ECDSAKey.generate())
        with until(dial) as transport:
            transport.auth_publickey("root", login)
            channel = transport.open_session()
            channel.exec_command("ls /workspace/sft/r1")
            assert channel.recv_exit_status() == 0
        assert container.attrs["State"]["Running"]
    finally:
        container.remove(force=True)


def test_no_layer_has_a_key_a_cache_or_a_tool_too_many(sft_image):
    name = sft_image.partition("@")[0]
    ours = [layer for layer in layers(sft_image) if layer.size > 100]
    start = next(i for i, layer in enumerate(ours) if "system.sh" in layer.made_by)
    found: list[str] = []
    for layer in ours[start:]:
        with (
            blob(name, f"blobs/{layer.digest}") as answer,
            tarfile.open(fileobj=answer, mode="r|gz") as tar,
        ):
            for entry in tar:
                path = PurePosixPath(entry.name)
                if entry.isfile() and not path.name.startswith(".wh."):
                    found += [entry.name for one in UNWANTED if path.match(one)]
    assert set(found) <= {"tmp/system.sh"}


CHANGED = (
    "trainer/library_log.py",
    "datagen/evaluation/stats.py",
    "datagen/questions/form.py",
    "pyproject.toml",
)


def test_a_change_of_one_line_pushes_little(image_settings, context, engine):
    """Prints what is pushed, compressed, and the table of layers."""
    repository = str(image_settings.image_repo)

    def pushed(what: Recipe) -> list[Layer]:
        return layers(ensure_image(what, repository, client=engine.client, context=context))

    first = recipe(image_settings)
    before = pushed(first)
    print(f"\n{'compressed':>12}  step")
    for layer in before:
        print(f"{layer.size:>12,}  {layer.made_by[:100]}")
    print(f"{sum(layer.size for layer in before):>12,}  in all")
    for name in CHANGED:
        content, executable = first.files[name]
        content += f"\n# {time.time()}\n".encode()
        changed = replace(first, files={**first.files, name: (content, executable)})
        size = sum(layer.size for layer in set(pushed(changed)) - set(before))
        print(f"{size:>12,}  pushed after one line more in {name}")
        assert size < 1_000_000
        assert (size > 0) is (name not in {"pyproject.toml", "datagen/questions/form.py"})
