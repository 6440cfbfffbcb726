"""The cards that can be rented now and their cost: live catalog, caps, registry and volume."""

from collections.abc import Mapping
from dataclasses import dataclass

from launcher.context import Context
from launcher.errors import NoCapacity, OverBudget
from launcher.image.build import BASES
from launcher.quote import gpu_names, run_cost
from launcher.quote.catalog import keep
from launcher.quote.estimate import TrainingSize
from launcher.runpod_api import Api, Catalog
from trainer.contract.command.errors import Usage

DRIFT = 60.0  # seconds that this machine's clock may be wrong by; deadlines are absolute


@dataclass(frozen=True)
class Fixed:
    """What the settings name that RunPod knows by an id."""

    registry_id: str = ""
    volume_id: str = ""
    data_centers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offer:
    """The cards in the order they are tried, and the size of the training.

    ``reach``: the number of kinds of card that each CUDA flavour of the image can run on.
    """

    wanted: gpu_names.WantedCards
    choice: gpu_names.Choice
    read_at: float
    what: TrainingSize
    reach: Mapping[str, int]
    fixed: Fixed


def look(api: Api, context: Context, what: TrainingSize, catalog: Catalog | None = None) -> Offer:
    """Read the live catalog, unless it is given. Raises ``Usage`` for an unknown name, ``NoCapacity`` for no card."""
    if catalog is None:
        catalog = api.catalog(gpu_names.resolve(context.settings.gpu).count)
        keep(catalog, context.world)
    check_clock(api)
    return choose(catalog, context, what, api)


def choose(catalog: Catalog, context: Context, what: TrainingSize, api: Api | None = None) -> Offer:
    """The cards of ``catalog`` that are wanted. Without ``api`` registry and volume are not looked up."""
    settings = context.settings
    wanted = gpu_names.resolve(settings.gpu, catalog.gpus)
    choice = gpu_names.candidates(wanted, catalog, min_cuda=settings.cuda)
    fixed = Fixed() if api is None else fix(api, context, choice)
    for centre in fixed.data_centers:
        choice = gpu_names.within(
            choice, centre, f"not free in {centre}, where {settings.volume} is"
        )
    if wanted.note:
        context.view.say(wanted.note)
    reach = gpu_names.reach(wanted, catalog, {settings.cuda, *BASES} - {"none"})
    if not choice.ranked:
        older = [cuda for cuda, count in reach.items() if count]
        raise NoCapacity(
            f"no card for --gpu {settings.gpu} is available now",
            f"with an image for an older CUDA some are available: --cuda {older[-1]}"
            if older
            else "try another card, or try later",
            faults=[f"{card}: {reason}" for card, reason in choice.dropped],
        )
    return Offer(wanted, choice, catalog.read_at, what, reach, fixed)


def check_clock(api: Api) -> None:
    """Raise ``Usage`` where this machine's clock is wrong. To be called right after another answer."""
    drift = api.clock_drift()
    if drift is not None and abs(drift) > DRIFT:
        raise Usage(
            f"this machine's clock is {abs(drift):,.0f} s {'ahead of' if drift > 0 else 'behind'} "
            "RunPod's: the pod's deadline would be wrong",
            "set it with: timedatectl set-ntp true",
        )


def quotes(offer: Offer, context: Context, *, spent: float) -> list[run_cost.Quote]:
    """A quote for each card that fits the caps. Raises ``OverBudget`` when none does."""
    found: list[run_cost.Quote] = []
    over: OverBudget | None = None
    for candidate in offer.choice.ranked:
        try:
            found.append(quote(offer, candidate, context, spent=spent))
        except OverBudget as fault:
            over = over or fault
    if not found and over is not None:
        raise over
    return found


def quote(
    offer: Offer, candidate: gpu_names.Candidate, context: Context, *, spent: float
) -> run_cost.Quote:
    return run_cost.quote(
        candidate,
        offer.wanted.count,
        context.settings,
        offer.what,
        now=context.world.now(),
        read_at=offer.read_at,
        spent=spent,
    )


def fix(api: Api, context: Context, choice: gpu_names.Choice) -> Fixed:
    """Look up registry credential and volume. Raises ``Usage`` saying how to make what is not there."""
    settings = context.settings
    registry_id = volume_id = ""
    centres: tuple[str, ...] = ()
    if settings.registry:
        known = {item.name: item for item in api.registries()}
        if settings.registry not in known:
            raise Usage(
                f"RunPod has no registry credential {settings.registry!r}",
                f"{_there_are(known)}create it with: launch doctor --add-registry "
                f"{settings.registry} --username USER < file-with-the-token",
            )
        registry_id = known[settings.registry].id
    if settings.volume:
        volumes = {item.name: item for item in api.volumes()}
        if settings.volume not in volumes:
            raise Usage(
                f"RunPod has no network volume {settings.volume!r}",
                f"{_there_are(volumes)}create it (billed until it is deleted) with: launch doctor "
                f"--add-volume {settings.volume} --data-center {_centre_for(api, choice)} "
                f"--mount {settings.mount}",
            )
        volume_id = volumes[settings.volume].id
        centres = (volumes[settings.volume].data_center,)
    return Fixed(registry_id, volume_id, centres)


def _there_are(known: Mapping[str, object]) -> str:
    return f"use one of {', '.join(known)}; or " if known else ""


def _centre_for(api: Api, choice: gpu_names.Choice) -> str:
    """A data centre with network volumes where one of the cards is, the first choice's if there is one."""
    with_volumes = [centre.id for centre in api.data_centers() if centre.volume_types]
    for candidate in choice.ranked:
        for centre in gpu_names.centres(candidate.gpu):
            if centre in with_volumes:
                return centre
    return with_volumes[0] if with_volumes else "DATA_CENTER"
