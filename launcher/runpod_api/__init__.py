"""RunPod's REST v2: calls, retries, typed answers."""

from launcher.runpod_api.answers import (
    Availability,
    BillingRecord,
    Catalog,
    DataCenter,
    Endpoint,
    Gpu,
    LogLine,
    Pod,
    Registry,
    Volume,
)
from launcher.runpod_api.client import BASE_URL, BASE_URL_VARIABLE, UNSEEN, Api, PodRequest
from launcher.runpod_api.http import OutcomeUnknown

__all__ = [
    "BASE_URL",
    "BASE_URL_VARIABLE",
    "UNSEEN",
    "Api",
    "Availability",
    "BillingRecord",
    "Catalog",
    "DataCenter",
    "Endpoint",
    "Gpu",
    "LogLine",
    "OutcomeUnknown",
    "Pod",
    "PodRequest",
    "Registry",
    "Volume",
]
