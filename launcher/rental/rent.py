"""Rent a pod: try the cards that fit, cheapest first; each attempt is journalled before it is made."""

from collections.abc import Collection
from dataclasses import dataclass, field

from launcher.context import Context
from launcher.errors import (
    ApiUnavailable,
    BadRequest,
    KeyForbidden,
    KeyRejected,
    NoCapacity,
    OverBudget,
    PaymentRequired,
)
from launcher.quote import gpu_names, run_cost
from launcher.rental.offer import Fixed, Offer, quote
from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, OutcomeUnknown, Pod, PodRequest
from launcher.runs.rented_pods import Name, machine_id
from launcher.runs.run_folder import Run
from trainer.contract import pod as border
from trainer.contract.command.errors import Fault, Interrupted

SETTLE = (0.0, 2.0, 4.0, 8.0, 16.0)  # a create that was cut short shows up within these
COMMAND = "pod"
DEARER = 1.02  # how much above the quoted rate a pod may be
CENTRES = 4  # data centres tried by name for a card that was refused without naming one


def request(
    run: Run,
    context: Context,
    deal: run_cost.Quote,
    *,
    attempt: int,
    image: str,
    public_key: str,
    fixed: Fixed,
) -> PodRequest:
    """The request for a pod; its name and its environment contain the two deadlines."""
    settings = context.settings
    name = Name(run.id, machine_id(context.world), int(deal.gone_by), attempt)
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


@dataclass
class Renting:
    """One search for a pod. ``told`` has the cards that were refused, by cause."""

    rental: Rental
    offer: Offer
    image: str
    public_key: str
    told: dict[str, list[str]] = field(default_factory=dict)

    def rent(self, *, without: Collection[str] = ()) -> str:
        """Rent the first available card that is not in ``without``; return the pod's id.

        Raises the last candidate's fault when no card is available, at once if no other could succeed.
        """
        last: Fault = NoCapacity("no card is left to try", "try another card, or try later")
        for candidate in self.offer.choice.ranked:
            if candidate.gpu.id in without:
                continue
            for centre in ("", *self._centres(candidate)):
                made = self._attempt(candidate, centre)
                if isinstance(made, str):
                    return made
                last = made
                if not another_may_succeed(made):
                    raise made
                if not isinstance(made, NoCapacity):
                    break  # the same elsewhere
        tries = sum(map(len, self.told.values()))
        raise type(last)(
            last.cause if tries < 2 else f"none of {tries} attempts to rent succeeded",
            last.hint,
            faults=[
                *(f"{', '.join(cards)}: {cause}" for cause, cards in self.told.items()),
                *(f"{card}: {reason}" for card, reason in self.offer.choice.dropped),
            ],
        )

    def _centres(self, candidate: gpu_names.Candidate) -> tuple[str, ...]:
        """Data centers to try when no data center was requested and none had capacity."""
        if self.offer.fixed.data_centers:
            return ()
        return gpu_names.centres(candidate.gpu)[:CENTRES]

    def _attempt(self, candidate: gpu_names.Candidate, centre: str) -> str | Fault:
        """The pod's id, or the reason why the attempt failed."""
        context, view = self.rental.context, self.rental.context.view
        label = candidate.gpu.id + f" in {centre}" * bool(centre)
        if context.interrupted:
            raise Interrupted("interrupted before anything was rented")
        before = self.rental.state.spent(context.world.now())
        try:
            deal = quote(self.offer, candidate, context, spent=before)
        except OverBudget as fault:
            return self._tell(label, fault)
        view.say(f"renting {label} at ${deal.rate:.3f}/h")
        made = self._create(deal, centre)
        if isinstance(made, Pod) and made.rate * deal.hours > (
            (context.settings.max_cost - before) * DEARER
        ):
            made = self._too_dear(made, deal)
        if isinstance(made, Fault):
            return self._tell(label, made)
        view.say(f"pod {made.id} is rented, its deadline is {run_cost.at(deal.gone_by)}")
        return made.id

    def _tell(self, label: str, fault: Fault) -> Fault:
        again = fault.cause in self.told
        self.told.setdefault(fault.cause, []).append(label)
        self.rental.say(f"{label}: {'the same' if again else fault.cause}")
        return fault

    def _create(self, deal: run_cost.Quote, centre: str) -> Pod | Fault:
        fixed = self.offer.fixed
        if centre:
            fixed = Fixed(fixed.registry_id, fixed.volume_id, (centre,))
        asked = request(
            self.rental.run,
            self.rental.context,
            deal,
            attempt=len(self.rental.state.names) + 1,
            image=self.image,
            public_key=self.public_key,
            fixed=fixed,
        )
        with self.rental.log.effect(
            "rent",
            name=asked.name,
            gpu=deal.gpu,
            count=deal.count,
            rate=round(deal.rate, 5),
            finish_by=deal.finish_by,
            gone_by=deal.gone_by,
            most=round(deal.most, 4),
            image=self.image,
        ) as outcome:
            try:
                made = self.rental.api.create_pod(asked)
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
                outcome["refused"] = fault.cause
                return fault
            outcome["pod"] = made.id
            outcome["rate"] = round(max(deal.rate, made.rate), 5)
        return made

    def _too_dear(self, made: Pod, deal: run_cost.Quote) -> OverBudget:
        with self.rental.log.effect("release", pod=made.id, reason="more expensive than quoted"):
            self.rental.api.release(made.id, unseen=UNSEEN)
        return OverBudget(
            f"rented at ${made.rate:.2f}/h, but the catalog has ${deal.rate:.2f}/h: deleted",
            "allow more with --max-cost",
        )


def another_may_succeed(refused: Fault) -> bool:
    """Whether another card may succeed after this refusal."""
    if isinstance(refused, BadRequest):
        return refused.status == 400
    return isinstance(refused, NoCapacity | KeyForbidden | OverBudget)


def find_cut_short(rental: Rental) -> bool:
    """Find out, and journal, whether a create with unknown outcome made a pod."""
    name, seen_by = rental.pod.name, rental.pod.since + UNSEEN
    for wait in (*SETTLE, max(0.0, seen_by - rental.now() - sum(SETTLE))):
        rental.context.world.sleep(wait)
        if pods := rental.api.pods(name):
            rental.log.fact("found", pod=pods[0].id)
            return True
    rental.log.fact("gone", name=name, reason="no pod of this name was created")
    return False
