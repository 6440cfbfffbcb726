"""Meters that run by the second, and the records made of them, which come late."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any

from tests.system.emulator import validate
from tests.system.emulator.clock import Clock, parse, stamp
from tests.system.emulator.problems import Problem

HOURS_A_MONTH = 730.0
LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
MONTHS = {"month": 1, "year": 12}
SIZES = (*LENGTHS, *MONTHS)
EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
AMOUNTS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")


@dataclass
class Span:
    """A stretch of time at unchanged rates, in dollars an hour. `end` is None while it runs."""

    pod: str
    start: float
    end: float | None
    gpu: float
    disk: float


class Billing:
    """What every pod has cost. Records show what happened until `lag` seconds ago."""

    def __init__(self, clock: Clock, *, lag: float = 300.0) -> None:
        self.lag = lag
        self._clock = clock
        self._spans: list[Span] = []
        self._lock = RLock()

    def meter(self, pod: str, *, gpu: float, disk: float) -> None:
        """From now on `pod` costs this much an hour; both zero ends it."""
        now = self._clock.now()
        with self._lock:
            for span in self._spans:
                if span.pod == pod and span.end is None:
                    span.end = now
            if gpu or disk:
                self._spans.append(Span(pod, now, None, gpu, disk))

    def gpu_seconds(self, pod: str) -> float:
        """For how long `pod` has held a card, up to this very second: no lag."""
        now = self._clock.now()
        with self._lock:
            return sum(
                (span.end or now) - span.start
                for span in self._spans
                if span.pod == pod and span.gpu
            )

    def gpu_spans(self, pod: str) -> list[tuple[float, float | None]]:
        """From when until when `pod` held a card, each time; None: it still does."""
        with self._lock:
            return [(span.start, span.end) for span in self._spans if span.pod == pod and span.gpu]

    def dollars(self, pod: str) -> float:
        """What `pod` has cost in all, disks included, up to this very second: no lag."""
        return self._between(pod, 0.0, self._clock.now())["totalAmount"]

    def records(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``GET /v2/billing/pods``.

        Raises:
            Problem: 400 or 422.
        """
        size = query.get("bucketSize", "day")
        if size not in SIZES:
            raise validate.invalid("query.bucketSize", f"'{size}' is not one of {', '.join(SIZES)}")
        first, last = self._window(query, size)
        seen = self._clock.now() - self.lag
        only = query.get("podId")
        with self._lock:
            spans = [span for span in self._spans if only in {None, span.pod}]
        pods = sorted({span.pod for span in spans})
        # Only buckets in which something was billed: a query may span every year there is.
        billed = datetime.fromtimestamp(min((span.start for span in spans), default=seen), UTC)
        records = []
        start = max(first, _floor(billed, size))
        while start < last and start.timestamp() < seen:
            end = _shift(start, size, 1)
            for pod in pods:
                amounts = self._between(pod, start.timestamp(), min(end.timestamp(), seen))
                if amounts["totalAmount"]:
                    records.append({**_range(start, end), "podId": pod, **amounts})
            start = end
        return {
            "records": records,
            "metadata": {
                "query": {**_range(first, last), "bucketSize": size, "podId": only},
                "recordCount": len(records),
                "uniquePodCount": len({record["podId"] for record in records}),
                "totals": {key: sum(record[key] for record in records) for key in AMOUNTS},
            },
        }

    def _between(self, pod: str, start: float, end: float) -> dict[str, float]:
        gpu = disk = 0.0
        with self._lock:
            for span in self._spans:
                if span.pod == pod:
                    until = min(end, span.end or end)
                    hours = max(0.0, until - max(start, span.start)) / 3600
                    gpu += hours * span.gpu
                    disk += hours * span.disk
        return dict(zip(AMOUNTS, (gpu + disk, gpu, 0.0, disk), strict=True))

    def _window(self, query: Mapping[str, str], size: str) -> tuple[datetime, datetime]:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        if "lastN" in query:
            if "startTime" in query or "endTime" in query:
                raise Problem(400, "lastN is mutually exclusive with startTime and endTime")
            count = validate.integer(query, "lastN", 1, least=1)
            last = _floor(now, size)
            return _shift(last, size, 1 - count), _shift(last, size, 1)
        try:
            bounds = [
                datetime.fromtimestamp(parse(query[key]), UTC) if key in query else default
                for key, default in (("startTime", now - timedelta(days=30)), ("endTime", now))
            ]
        except ValueError as fault:
            raise validate.invalid("query", str(fault)) from None
        first, last = _floor(bounds[0], size), _floor(bounds[1], size)
        return first, last if last == bounds[1] else _shift(last, size, 1)


def disk_rate(*, container: int, volume: int, running: bool) -> float:
    """Dollars an hour for so many GB: a stopped pod keeps its volume alone, at twice the rate."""
    month = 0.10 * (container + volume) if running else 0.20 * volume
    return month / HOURS_A_MONTH


def _range(start: datetime, end: datetime) -> dict[str, str]:
    return {"startTime": stamp(start.timestamp()), "endTime": stamp(end.timestamp())}


def _floor(at: datetime, size: str) -> datetime:
    if size == "hour":
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if size == "week":
        return day - timedelta(days=day.weekday())
    if size == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if size == "year" else day


def _shift(start: datetime, size: str, count: int) -> datetime:
    """`start` of a bucket, moved by `count` buckets, no further than dates reach."""
    try:
        if size in LENGTHS:
            return start + count * LENGTHS[size]
        year, month = divmod(start.year * 12 + start.month - 1 + count * MONTHS[size], 12)
        return start.replace(year=year, month=month + 1)
    except (OverflowError, ValueError):
        return EARLIEST if count < 0 else LATEST
