"""RunPod's REST v2: calls, retries, typed answers."""

from launcher.runpod_api.answers import (
    BillingRecord,
    Catalog,
    DataCenter,
    Endpoint,
    Gpu,
    LogLine,
    Pod,
    Registry,
    Stock,
    Volume,
)
from launcher.runpod_api.client import BASE_URL, BASE_URL_VARIABLE, UNSEEN, Api, PodRequest
from launcher.runpod_api.http import OutcomeUnknown

__all__ = [
    "BASE_URL",
    "BASE_URL_VARIABLE",
    "UNSEEN",
    "Api",
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
    "Stock",
    "Volume",
]
