"""The state of a run, from its journal. Nothing else interprets entries."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from launcher.runs import journal
from launcher.runs.journal import Entry
from launcher.runs.rented_pods import Billed, RentedPod

WOKEN = 3600.0  # seconds that a stopped pod may be up to be fetched from


class RunState:
    """The state of a run after the entries that were added. An overwritten run begins again at ``created``.

    ``summary`` is the content of run.json. ``offset`` is the size of events.jsonl when the newest trainer
    was started, None before that. ``ended``: why the newest attempt is over, None while it is not.
    ``pods``: every pod that was rented, the newest last. ``names``: every name under which one may exist. ``guards``: the process
    ids of the guards that were started.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.summary: dict[str, Any] = {}
        self.pods: list[RentedPod] = []
        self.names: list[str] = []
        self.time = 0.0
        self._begin_again()
        for entry in entries:
            self.add(entry)

    def _begin_again(self) -> None:
        self.summary = {"v": 1, "state": "new"}
        self.quote: dict[str, Any] = {}
        self.image: str | None = None
        self.offset: int | None = None
        self.ended: dict[str, Any] | None = None
        self.guards: list[int] = []
        self.pods = [pod for pod in self.pods if not pod.released]

    @property
    def pod(self) -> RentedPod | None:
        """The newest pod."""
        return self.pods[-1] if self.pods else None

    @property
    def living(self) -> RentedPod | None:
        """The pod that exists, or may exist."""
        return self.pods[-1] if self.pods and not self.pods[-1].released else None

    def spent(self, now: float) -> float:
        """The cost of the run's pods in USD: as charged where the whole bill is known, else by elapsed time."""
        return sum(pod.cost(now) for pod in self.pods)

    def add(self, entry: Entry) -> None:
        """Take the journal's next entry."""
        facts, self.time = entry.facts, entry.time
        match entry.what, entry.stage:
            case "created", _:
                self._begin_again()
                self.summary |= {**facts, "created": entry.time}
            case "settings", _:
                self.summary |= facts
            case "quote", _:
                self.quote = facts
            case "image", "done":
                self.image = facts["image"]
            case "start", "intent":
                for name in ("pid", "cause", "hint"):
                    self.summary.pop(name, None)
                self.summary |= {"state": "started", "started": entry.time, **facts}
                self.offset, self.ended = facts["offset"], None
            case "start", "done":
                self.summary |= facts
                self._change(has_job=True)
            case "ended", _:
                self.summary |= {"ended": entry.time, **facts}
                self.ended = facts
            case "guard", _:
                self.guards.append(facts["pid"])
            case "rent", "intent":
                self.ended = self.offset = None
                self._rent(entry)
            case _:
                self._of_pod(entry)

    def _rent(self, entry: Entry) -> None:
        facts = entry.facts
        if self.living:
            self.pods[-1] = self.pods[-1].ended(entry.time, released=True)
        self.names.append(facts["name"])
        self.pods.append(
            RentedPod(
                name=facts["name"],
                rate=facts["rate"],
                finish_by=facts["finish_by"],
                times=(Billed(entry.time, facts["gone_by"]),),
                gpu=facts["gpu"],
                image=facts.get("image", ""),
                most=facts.get("most", 0.0),
            )
        )

    def _of_pod(self, entry: Entry) -> None:
        """What became of the newest pod."""
        pod, facts, at = self.living, entry.facts, entry.time
        match entry.what, entry.stage:
            case ("gone", "fact") | ("release", "intent"):
                if entry.what == "release" or facts.get("pod"):
                    self.ended = facts
        if entry.what == "bill" and facts.get("pod"):
            self.pods = [
                replace(one, charged=facts["charged"]) if one.id == facts["pod"] else one
                for one in self.pods
            ]
        if pod is None:
            return
        match entry.what, entry.stage:
            case ("rent", "done") | ("found", "fact") if facts.get("pod") is None:
                self.pods.pop()  # refused: nothing was made
            case "rent", "done":  # billed from the answer on
                begun = (replace(pod.times[0], start=at),)
                self._change(id=facts["pod"], rate=facts.get("rate", pod.rate), times=begun)
            case "found", "fact":
                self._change(id=facts["pod"])
            case "gone", "fact" if pod.id is None:
                self.pods.pop()
            case ("release", "done") | ("gone", "fact"):
                self.pods[-1] = replace(pod.ended(at, released=True), seen="gone")
            case "stopped", "fact":
                self.pods[-1] = replace(pod.ended(at, released=False), seen="stopped")
            case "failed", "fact":
                self._change(seen="failed")
            case "rate", "fact":
                last = replace(pod.times[-1], deadline=facts["gone_by"])
                self._change(
                    rate=facts["rate"],
                    capped=True,
                    finish_by=facts["finish_by"],
                    times=(*pod.times[:-1], last),
                )
            case "wake", "intent":
                # A pod past its deadline may stay for another hour; before that, the deadline holds.
                deadline = pod.gone_by if at < pod.gone_by else at + WOKEN
                times = (*pod.ended(at, released=False).times, Billed(at, deadline))
                self._change(times=times)
            case "wake", "failed":
                self._change(times=pod.times[:-1])
            case ("wake", "done") | ("up", "fact"):
                self._change(seen="", **{"up": at} if entry.what == "up" else {})
            case "fetch", "done":
                self._change(fetched=True)

    def _change(self, **fields: Any) -> None:
        if self.living:
            self.pods[-1] = replace(self.pods[-1], **fields)


def read(path: Path) -> RunState:
    """The state in the journal at ``path``; takes no lock. Raises ``BrokenJournal``."""
    return RunState(journal.read(path))


def read_leniently(path: Path) -> RunState:
    """The same from the lines that can be read, for a caller that must act on a broken journal too."""
    return RunState(journal.salvage(path))
