"""Renting: along the cards that fit, cheapest first, each attempt in the journal before it is made."""

from collections.abc import Mapping
from dataclasses import dataclass

from launcher import gpus, plan
from launcher.errors import (
    ApiUnavailable,
    BadRequest,
    KeyForbidden,
    KeyRejected,
    NoCapacity,
    OverBudget,
    PaymentRequired,
)
from launcher.image import BASES
from launcher.machines.scene import Scene
from launcher.rental.names import Name, machine_id, rented
from launcher.runpod_api import Api, OutcomeUnknown, Pod, PodRequest
from launcher.runs import Log, Run
from trainer.contract import pod as border
from trainer.contract.errors import Fault, Interrupted, Usage

SETTLE = (0.0, 2.0, 4.0, 8.0, 16.0)  # a create that was cut short shows up within these
COMMAND = "pod"
DEARER = 1.02  # how much above the quoted rate a pod may be


@dataclass(frozen=True)
class Offer:
    """What can be rented now: the cards in the order they are tried, and what is to be trained.

    ``reach``: how many kinds of card each CUDA flavour of the image would have to choose from.
    """

    wanted: gpus.Wanted
    choice: gpus.Choice
    read_at: float
    what: plan.Size
    reach: Mapping[str, int]


def look(api: Api, scene: Scene, what: plan.Size) -> Offer:
    """Read the live catalog. Raises ``Usage`` for a name that is no card, ``NoCapacity`` for none free."""
    settings = scene.settings
    wanted = gpus.resolve(settings.gpu)
    catalog = api.catalog(wanted.count)
    wanted = gpus.resolve(settings.gpu, catalog.gpus)
    choice = gpus.candidates(wanted, catalog, min_cuda=settings.cuda)
    if wanted.note:
        scene.view.say(wanted.note)
    reach = gpus.reach(wanted, catalog, {settings.cuda, *BASES} - {"none"})
    if not choice.ranked:
        older = [cuda for cuda, count in reach.items() if count]
        raise NoCapacity(
            f"no card for --gpu {settings.gpu} can be had now",
            f"an image for an older CUDA reaches some: --cuda {older[-1]}"
            if older
            else "try another card, or try later",
            faults=[f"{card}: {reason}" for card, reason in choice.dropped],
        )
    return Offer(wanted, choice, catalog.read_at, what, reach)


def quotes(offer: Offer, scene: Scene) -> list[plan.Quote]:
    """A quote for each card that fits the caps. Raises ``OverBudget`` when none does."""
    found: list[plan.Quote] = []
    over: OverBudget | None = None
    for candidate in offer.choice.ranked:
        try:
            found.append(quote(offer, candidate, scene))
        except OverBudget as fault:
            over = over or fault
    if not found and over is not None:
        raise over
    return found


def quote(offer: Offer, candidate: gpus.Candidate, scene: Scene) -> plan.Quote:
    return plan.quote(
        candidate,
        offer.wanted.count,
        scene.settings,
        offer.what,
        now=scene.world.now(),
        read_at=offer.read_at,
    )


def request(
    run: Run,
    scene: Scene,
    deal: plan.Quote,
    *,
    attempt: int,
    image: str,
    public_key: str,
    fixed: "Fixed",
) -> PodRequest:
    """The pod as it is asked for: its name and its environment carry the two instants."""
    settings = scene.settings
    name = Name(run.id, machine_id(scene.world), int(deal.gone_by), attempt)
    told = border.PodSettings(
        run_id=run.id,
        finish_by=round(deal.finish_by, 3),
        gone_by=round(deal.gone_by, 3),
        grace_seconds=round(settings.grace * 60),
        on_deadline=settings.on_deadline,
    )
    return PodRequest(
        name=str(name),
        image=image,
        gpu_id=deal.gpu,
        gpu_count=deal.count,
        min_cuda=settings.cuda,
        disk=settings.disk,
        mount=str(border.MOUNT),
        env={**told.to_env(), border.PUBLIC_KEY: public_key},
        volume_gb=settings.mount,
        volume_id=fixed.volume_id,
        args=COMMAND,
        registry=fixed.registry_id,
        data_centers=fixed.data_centers,
    )


@dataclass(frozen=True)
class Fixed:
    """What the settings name that RunPod knows by an id."""

    registry_id: str = ""
    volume_id: str = ""
    data_centers: tuple[str, ...] = ()


def fix(api: Api, scene: Scene) -> Fixed:
    """Look up registry credential and volume. Raises ``Usage`` listing those there are."""
    settings = scene.settings
    registry_id = volume_id = ""
    centres: tuple[str, ...] = ()
    if settings.registry:
        known = {item.name: item for item in api.registries()}
        if settings.registry not in known:
            raise _unknown("registry credential", settings.registry, list(known))
        registry_id = known[settings.registry].id
    if settings.volume:
        volumes = {item.name: item for item in api.volumes()}
        if settings.volume not in volumes:
            raise _unknown("network volume", settings.volume, list(volumes))
        volume_id = volumes[settings.volume].id
        centres = (volumes[settings.volume].data_center,)
    return Fixed(registry_id, volume_id, centres)


def _unknown(what: str, name: str, known: list[str]) -> Usage:
    return Usage(
        f"RunPod has no {what} {name!r}",
        f"there are: {', '.join(known)}"
        if known
        else "there is none; make one in RunPod's console",
    )


def rent(
    run: Run, scene: Scene, api: Api, log: Log, offer: Offer, *, image: str, public_key: str
) -> str:
    """Rent the first card that can be had; return the pod's id. A line for each attempt.

    Raises the last candidate's fault when none can be had, at once where no other would do better.
    """
    view = scene.view
    fixed = fix(api, scene)
    told: list[str] = []
    last: Fault = NoCapacity("no card could be rented", "try later")
    for candidate in offer.choice.ranked:
        label = candidate.gpu.id
        if scene.interrupts.count:
            raise Interrupted("interrupted before anything was rented")
        try:
            deal = quote(offer, candidate, scene)
        except OverBudget as fault:
            told.append(f"{label}: {fault.cause}")
            view.say(told[-1])
            last = fault
            continue
        before = rented(log.entries)
        asked = request(
            run,
            scene,
            deal,
            attempt=len(before.names) + 1 if before else 1,
            image=image,
            public_key=public_key,
            fixed=fixed,
        )
        view.say(f"renting {label} at ${deal.rate:.3f}/h")
        refused: Fault | None = None
        made: Pod | None = None
        with log.effect(
            "rent",
            name=asked.name,
            gpu=label,
            count=deal.count,
            rate=round(deal.rate, 5),
            finish_by=deal.finish_by,
            gone_by=deal.gone_by,
            most=round(deal.most, 4),
            image=image,
        ) as outcome:
            try:
                made = api.create_pod(asked)
            except OutcomeUnknown:
                raise  # a pod may exist: the journal's last word stays "begun"
            except (
                NoCapacity,
                KeyForbidden,
                BadRequest,
                PaymentRequired,
                KeyRejected,
                ApiUnavailable,
            ) as fault:
                refused = fault
                outcome["refused"] = fault.cause
            else:
                outcome["pod"] = made.id
                outcome["rate"] = round(max(deal.rate, made.rate), 5)
        if made is not None:
            if made.rate * deal.hours <= scene.settings.max_cost * DEARER:
                view.say(f"pod {made.id} is rented, gone by {plan.at(deal.gone_by)}")
                return made.id
            refused = _too_dear(made.id, made.rate, deal, api, log)
        assert refused is not None
        told.append(f"{label}: {refused.cause}")
        view.say(told[-1])
        last = refused
        if not goes_on(refused):
            raise refused
    raise type(last)(
        last.cause if len(told) == 1 else f"none of {len(told)} cards could be rented",
        last.hint,
        faults=[*told, *(f"{card}: {reason}" for card, reason in offer.choice.dropped)],
    )


def goes_on(refused: Fault) -> bool:
    """Whether another card may fare better than one that was refused so."""
    if isinstance(refused, BadRequest):
        return refused.status == 400
    return isinstance(refused, NoCapacity | KeyForbidden | OverBudget)


def _too_dear(pod_id: str, rate: float, deal: plan.Quote, api: Api, log: Log) -> OverBudget:
    with log.effect("release", pod=pod_id, reason="dearer than quoted"):
        api.release(pod_id)
    return OverBudget(
        f"rented at ${rate:.2f}/h where the catalog said ${deal.rate:.2f}/h: released",
        "allow more with --max-cost",
    )


def find_cut_short(name: str, scene: Scene, api: Api, log: Log) -> str | None:
    """Settle a create of which nobody knows what came: the pod's id, or None when none was made."""
    for wait in SETTLE:
        scene.world.sleep(wait)
        pods = api.pods(name)
        if pods:
            log.fact("found", pod=pods[0].id)
            return pods[0].id
    log.fact("gone", name=name, reason="no pod of this name was made")
    return None
