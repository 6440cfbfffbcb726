"""``launch stop``: end a run now, keeping what it has trained, and let its machine go."""

from launcher import runs, status
from launcher.machines import MACHINES
from launcher.rental.names import rented
from launcher.scene import Scene
from launcher.train import Outcome, Request, conclude, resolve
from launcher.view import View
from launcher.watch import note_end
from launcher.watch import stop as ask
from launcher.world import World
from trainer.contract.errors import Interrupted, NotFound


def stop(name: str, *, at_once: bool, world: World, view: View) -> Outcome:
    """Ask the trainer to save, bring home what there is, release. ``at_once``: nothing is saved.

    Returns the outcome of a run that was about to finish anyway. Raises ``Interrupted`` with what was saved,
    ``NotFound`` when nothing of the run is at work.
    """
    plan = resolve(Request(resume=name), world=world)
    run = plan.run
    scene = Scene(world, view, plan.settings)
    machine = MACHINES[plan.where](scene)
    with world.interrupts(scene.interrupts), runs.hold(run, world=world) as log:
        work = machine.find(run, log)
        if work is None:
            raise NotFound(f"nothing of run {run.id} is at work", "launch ps lists the runs")
        pod = rented(log.entries)
        if at_once or (pod is not None and not pod.handed_over):
            view.say("ending it at once; what came after the last checkpoint is lost")
            with log.effect("kill"):
                if pod is None or pod.released:
                    work.kill()
            work.release()
            fault = Interrupted(
                "stopped; nothing keeps running", f"begin again with: {status.resume_hint(run)}"
            )
            note_end(log, fault)
            raise fault
        work.prepare(plan.job, resume=True)
        ask(work, log, again=False, scene=scene)
        return conclude(run, work, log, scene)
