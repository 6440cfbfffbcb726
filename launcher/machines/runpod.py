"""A pod at RunPod: rented for one run, then deleted when the result is downloaded."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher.context import Context
from launcher.pod.boot import LOOK
from launcher.pod.rented_run import RentedRun
from launcher.quote import catalog, gpu_names, run_cost
from launcher.quote.compare_gpus import compare, table
from launcher.quote.estimate import training_size
from launcher.rental import guard, rent
from launcher.rental.delete import receipt, release
from launcher.rental.observe import observe
from launcher.rental.offer import Offer, check_clock, choose, look, quotes
from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, Api, Pod
from launcher.runs import model_folder
from launcher.runs.run_folder import Log, Run, key_file
from launcher.runs.run_state import RunState
from launcher.secrets import runpod
from launcher.ssh import make_key
from trainer.contract import episodes, validation
from trainer.contract.command.errors import Fault, Interrupted, Usage, noted
from trainer.contract.command.secrets import Secret
from trainer.contract.job import Job
from trainer.contract.rows import Rows

OF_AN_ATTEMPT = (
    "events.jsonl",
    "train.log",
    "adapter",
    "manifest.json",
    "loss.png",
    *episodes.RESULTS,
    validation.RESULT,
)
DIGEST = "the image's digest, once it is built and pushed"


class RunPod:
    """RunPod with the user's key. Talks to the API from ``offer`` on."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._secret: Secret | None = None
        self._api: Api | None = None
        self._offer: Offer | None = None

    @property
    def secret(self) -> Secret:
        self._secret = self._secret or runpod(self.context.world)
        return self._secret

    @property
    def api(self) -> Api:
        self._api = self._api or self.context.world.api(self.secret.value)
        return self._api

    def missing(self, job: Job) -> list[Fault]:
        settings = self.context.settings
        found: list[Fault] = []
        if settings.image is None and settings.image_repo is None:
            found.append(
                Usage(
                    "no image for the pod",
                    "name a repository to push it to, for example --image-repo ghcr.io/me/sft-launch (or "
                    "image_repo in launch.toml), or name an existing image with --image",
                )
            )
        with noted(found):
            self._secret = runpod(self.context.world)
        return found

    def offer(self, run: Run, job: Job, data: Rows, past: RunState) -> dict[str, Any]:
        if Path(job.model).is_absolute():
            model_folder.check(Path(job.model))
        what = training_size(job, data, world=self.context.world)
        self._offer = look(self.api, self.context, what)
        deals = self._show(self._offer, spent=past.spent(self.context.world.now()))
        upload = self._offer_image(past)
        return {**deals[0].facts(), "reach": dict(self._offer.reach), "upload_bytes": upload}

    def _show(self, offer: Offer, *, spent: float, live: bool = True) -> list[run_cost.Quote]:
        deals = quotes(offer, self.context, spent=spent)
        for text in run_cost.lines(deals[0], self.context.settings):
            self.context.view.say(text)
        if len(deals) > 1:
            others = ", ".join(f"{deal.gpu} ${deal.rate:.2f}/h" for deal in deals[1:])
            self.context.view.say(f"  if it is taken: {others}")
        cuda = self.context.settings.cuda
        if live:
            self.context.view.say(run_cost.reach_line(offer.reach, len(offer.wanted.ids), cuda))
        return deals

    def _offer_image(self, past: RunState) -> int:
        """Say what is still to be done for the image; the bytes to be pushed, roughly."""
        settings = self.context.settings
        if settings.image or past.image or not settings.image_repo:
            return 0
        from launcher.image.build import recipe, repository, standing, upload_line

        where = repository(settings)
        found = standing(recipe(settings), where, client=self.context.world.docker())
        self.context.view.say(upload_line(found))
        return found.upload

    def preview(
        self, run: Run, job: Job, data: Rows | None
    ) -> tuple[list[dict[str, Any]], list[Fault]]:
        settings, say = self.context.settings, self.context.view.say
        what = training_size(job, data, world=self.context.world)
        wanted = gpu_names.resolve(settings.gpu)
        prices, fault = catalog.read(self.context.world, count=wanted.count)
        found = [] if fault is None else [fault]
        if fault is not None:
            when = f"prices of {run_cost.at_day(prices.read_at)}" if prices.priced else "no prices"
            say(f"{when}: {fault.cause}")
        cards = prices.only(wanted.ids)
        for text in table(compare(what, cards, settings, count=wanted.count), what):
            say(text)
        if not prices.priced:
            most = f"${settings.max_cost:.2f} and {settings.max_hours:g} h"
            say(f"at any price a run costs at most {most} (--max-cost, --max-hours)")
            return [], found
        if fault is None:
            self._offer = look(self.api, self.context, what, prices)
        else:
            self._offer = choose(prices.any_stock(), self.context, what)
        deals = self._show(self._offer, spent=0.0, live=fault is None)
        with noted(found):
            self._offer_image(RunState())
        return self._requests(run, self._offer, deals), found

    def _requests(
        self, run: Run, offer: Offer, deals: Sequence[run_cost.Quote]
    ) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []
        for deal in deals:
            asked = rent.request(
                run,
                self.context,
                deal,
                attempt=1,
                image=self.context.settings.image or DIGEST,
                public_key="the public key made for this run",
                fixed=offer.fixed,
            )
            shown.append({"request": "POST /v2/pods", "body": asked.body()})
        return shown

    def start(self, run: Run, job: Job, log: Log, *, resume: bool) -> RentedRun:
        rental = Rental(run, self.context, self.api, log)
        image = self._image(log)
        tried: set[str] = set()

        def rent_one() -> None:
            self._rent(rental, image=image, without=tried)
            tried.add(rental.pod.gpu)

        rent_one()
        return RentedRun(rental, another=rent_one)

    def _rent(self, rental: Rental, *, image: str, without: Collection[str]) -> None:
        """Rent a card, none of ``without``, with a new key, under a guard."""
        assert self._offer is not None
        run, world = rental.run, self.context.world
        self._set_aside(run)
        key = key_file(run, world)
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        public = make_key(key)
        if self.context.interrupted:
            raise Interrupted("interrupted before anything was rented")
        self.api.pods()
        check_clock(self.api)  # it may have been set since the offer
        try:
            rent.Renting(rental, self._offer, image, public).rent(without=without)
        except (Fault, OSError):
            release(rental, reason="the rental failed")
            if rental.state.living is None:
                key.unlink(missing_ok=True)
            raise
        self._guard(run, rental.log)

    def find(self, run: Run, log: Log) -> RentedRun | None:
        living = log.state.living
        if living is None:
            return None
        rental = Rental(run, self.context, self.api, log)
        if living.id is None and not rent.find_cut_short(rental):
            return None
        if self._observe(rental) is None:
            rental.say(f"pod {rental.pod_id} is gone")
            with suppress(Fault):  # what it has cost counts against the cap
                receipt(rental, patience=0.0)
            return None
        stopped = rental.pod.seen in {"stopped", "failed"}
        if rental.pod.seen != "stopped":
            self._guard(run, log)
        return RentedRun(rental, stopped=stopped, guard=lambda: self._guard(run, log))

    def _observe(self, rental: Rental) -> Pod | None:
        """The newest pod, None when it is gone. A fresh one may be unknown for a while."""
        until = rental.pod.since + UNSEEN
        with rental.waiting(f"RunPod to show the new pod {rental.pod_id}", until=until):
            while (pod := observe(rental)) is None and not rental.pod.released:
                self.context.sleep(LOOK)
        return pod

    def _image(self, log: Log) -> str:
        """The image to rent with: the one named, the one this run has, or a new one, built and pushed."""
        if had := self.context.settings.image or log.state.image:
            return had
        from launcher.image.build import ensure_image, recipe, repository

        settings = self.context.settings
        where = repository(settings)
        with log.effect("image", repo=where) as outcome:
            outcome["image"] = ensure_image(
                recipe(settings),
                where,
                client=self.context.world.docker(),
                context=self.context,
            )
        return str(outcome["image"])

    def _set_aside(self, run: Run) -> None:
        """A new pod writes its events from the start: what an earlier one left goes into a folder."""
        left = [name for name in OF_AN_ATTEMPT if (run.folder / name).exists()]
        if not left:
            return
        count = len(list(run.folder.glob("attempt-*")))
        folder = run.folder / f"attempt-{count + 1}"
        folder.mkdir()
        for name in left:
            (run.folder / name).rename(folder / name)

    def _guard(self, run: Run, log: Log) -> None:
        pid = guard.begin(run, self.context.world, self.secret.value)
        if pid is not None:
            log.fact("guard", pid=pid)
