"""A run as a task of SkyPilot's, for other clouds and for several machines: same image, same job.

Fields as in SkyPilot's documentation (docs.skypilot.co, "SkyPilot YAML"). What is written is text, with every
string quoted as JSON does, which YAML reads too. The job is within, in ASCII: YAML refuses some characters.
"""

import json
import os
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launcher.image.build import recipe, repository
from launcher.pod.upload import files_of
from launcher.quote import gpu_names
from launcher.request import Request, resolve
from launcher.runs.new_run import read_inputs
from launcher.runs.run_folder import Run
from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import OutputExists, joined, noted
from trainer.contract.job import Job

HOME, FILES, RUN = "~/sft", "files", "run"
PYTHON = "/opt/sft/venv/bin/python"
PORT = 29500
RENDEZVOUS = (
    300  # seconds that a machine's torchrun waits for the others to start; its default is 600
)
SAVING = 300  # seconds from the request to save to the end of a run that does not
HEAD = """\
# Written by: launch train --emit skypilot. Start, watch, download and end it with:
#   sky launch -c {name} {file}          (a gated model: --secret HF_TOKEN)
#   sky logs {name}
#   rsync -Pavz {name}:sft/run/ {folder}/
#   sky down {name}
# --max-cost does not apply here: training ends after {hours:g} h, and {then} {grace} min later.
"""
SCRIPT = """\
cd {home}
cat >job.json <<'JOB'
{job}JOB
{resume}timeout --signal=TERM --kill-after={saving} {seconds} {command}
"""
RESUME = f"""\
resume=
[ ! -d {RUN}/checkpoints ] || resume=--resume
"""
ONE = f"{PYTHON} -P -m trainer job.json $resume"
SEVERAL = f"""\
{PYTHON} -P -m torch.distributed.run \\
  --nnodes="$SKYPILOT_NUM_NODES" --nproc-per-node="$SKYPILOT_NUM_GPUS_PER_NODE" \\
  --node-rank="$SKYPILOT_NODE_RANK" --master-addr="$(echo "$SKYPILOT_NODE_IPS" | head -n1)" \\
  --master-port={PORT} --rdzv-conf=timeout={RENDEZVOUS} -m trainer job.json"""
APART = """\
# The machines share no folder, so only the first has checkpoints: an interrupted run starts again at step 1
# (--overwrite after job.json, below).
"""


@dataclass(frozen=True)
class Task:
    """The text of the file, and the commands to type after it."""

    text: str
    commands: list[str]


def accelerators(gpu: str) -> dict[str, int]:
    """SkyPilot's names for the cards in ``--gpu``, with the number per machine. Raises ``Usage``.

    A card that RunPod does not offer keeps its name: other clouds have it.
    """
    wanted = gpu_names.resolve(gpu)
    names = [name for card in wanted.ids for name in gpu_names.CARDS[card].skypilot]
    return dict.fromkeys([wanted.absent] if wanted.absent else names, wanted.count)


def task(run: Run, job: Job, settings: Settings, *, image: str, nodes: int, file: Path) -> Task:
    """``job`` has absolute paths, as ``launcher.request.resolve`` makes them; ``image`` is its reference.

    Raises ``BadData`` for a table of the episodes that has changed, ``Usage`` for an unknown card.
    """
    mounts = mounted(job)
    name = f"sft-{run.id}".lower().replace(".", "-").replace("_", "-")
    text = (HEAD + APART * (nodes > 1)).format(
        name=name,
        file=shlex.quote(str(file)),
        folder=shlex.quote(str(run.folder)),
        hours=settings.max_hours,
        then="the machine is deleted" if settings.on_deadline == "delete" else "it is stopped",
        grace=max(1, round(settings.grace)),
    )
    commands = [line[4:] for line in text.splitlines() if line.startswith("#   ")]
    cards = accelerators(settings.gpu)
    lines = [
        f"name: {json.dumps(name)}",
        f"num_nodes: {nodes}",
        "resources:",
        f"  accelerators: {json.dumps(cards)}",
        f"  image_id: {json.dumps('docker:' + image)}",
        f"  disk_size: {settings.disk + settings.mount}",
        "  autostop:",
        f"    idle_minutes: {max(1, round(settings.grace))}",
        f"    down: {json.dumps(settings.on_deadline == 'delete')}",
        "file_mounts:",
        *(f"  {_quoted(there)}: {_quoted(here)}" for there, here in mounts.items()),
        "run: |",
    ]
    body = indented(script(job, settings, mounts, nodes=nodes))
    return Task(text + "\n".join(lines) + "\n" + body, commands)


def _quoted(text: str) -> str:
    """As JSON, but for pairs of surrogates, which YAML does not know."""
    return json.dumps(text, ensure_ascii=False)


def indented(text: str) -> str:
    """``text`` as what stands below a literal block's ``|``."""
    return textwrap.indent(text, "  ")


def mounted(job: Job) -> dict[str, str]:
    """Where each file of the job lies there → where it lies here. What lies side by side stays so."""
    paths = [os.path.normpath(path) for path in files_of(job)]
    if Path(job.model).is_absolute():
        paths.append(os.path.normpath(job.model))
    top = os.path.commonpath([Path(path).parent for path in paths])
    return {
        f"{HOME}/{FILES}/{PurePosixPath(Path(path).relative_to(top))}": path
        for path in dict.fromkeys(paths)
    }


def script(job: Job, settings: Settings, mounts: Mapping[str, str], *, nodes: int) -> str:
    """The script that every machine runs. Started again, a single machine continues from its newest checkpoint."""
    names = {here: there.removeprefix(f"{HOME}/") for there, here in mounts.items()}

    def there(path: str | None) -> str | None:
        return path and names.get(os.path.normpath(path), path)

    told = job.model_copy(
        update={
            "model": there(job.model),
            "data": there(job.data),
            "eval_data": there(job.eval_data),
            "evaluate": there(job.evaluate),
            "validation": there(job.validation),
            "output": RUN,
        }
    )
    return SCRIPT.format(
        home=HOME,
        job=json.dumps(told.model_dump(mode="json"), indent=2).replace("\x7f", "\\u007f") + "\n",
        resume=RESUME if nodes == 1 else "",
        saving=SAVING,
        seconds=round(settings.max_hours * 3600),
        command=ONE if nodes == 1 else SEVERAL,
    )


def write(
    request: Request, *, file: Path, nodes: int, world: World, view: View
) -> tuple[Run, Task]:
    """Check the job and write its task. Nothing is built, pushed or rented.

    Raises ``OutputExists`` for a file that is there already, ``Usage`` without an image.
    """
    plan = resolve(request, world=world)
    job = request.job or plan.job
    view.say(f"checking {job.data}")
    _, faults = read_inputs(job)
    with noted(faults):
        accelerators(plan.settings.gpu)
    if file.exists() and not request.overwrite:
        faults.append(OutputExists(f"{file} already exists", "name another, or add --overwrite"))
    image = plan.settings.image or ""
    with noted(faults):
        image = image or f"{repository(plan.settings)}:{recipe(plan.settings).tag}"
    if faults:
        raise joined(faults)
    if plan.settings.image is None:
        view.say(
            f"the task uses {image}: if the registry does not have it, push it with: launch image"
        )
    made = task(plan.run, plan.job, plan.settings, image=image, nodes=nodes, file=file)
    write_whole(file, made.text)
    return plan.run, made
