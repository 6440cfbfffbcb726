"""Models and the providers that offer them. Invented, of real size; prices in USD per token, as text."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PARAMETERS = ["max_tokens", "temperature", "top_p", "reasoning", "seed", "stop"]


@dataclass(frozen=True)
class Endpoint:
    """One provider's offer of a model."""

    provider: str
    prompt: str
    completion: str
    quantization: str | None = "bf16"
    parameters: tuple[str, ...] = tuple(PARAMETERS)
    request: str = "0"

    @property
    def slug(self) -> str:
        return self.provider.lower().replace(" ", "-")

    def pricing(self) -> dict[str, str]:
        return {"prompt": self.prompt, "completion": self.completion, "request": self.request}

    def price(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return (
            Decimal(self.prompt) * prompt_tokens
            + Decimal(self.completion) * completion_tokens
            + Decimal(self.request)
        )


@dataclass(frozen=True)
class Model:
    id: str
    endpoints: tuple[Endpoint, ...]
    distillable: bool = True
    context_length: int = 131072
    pricing: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """As GET /models lists it: with the price of its cheapest provider."""
        cheapest = min(self.endpoints, key=lambda e: Decimal(e.prompt))
        return {
            "id": self.id,
            "name": self.id,
            "context_length": self.context_length,
            "pricing": cheapest.pricing() | self.pricing,
            "supported_parameters": PARAMETERS,
        }

    def endpoint_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{e.provider} | {self.id}",
                "provider_name": e.provider,
                "tag": e.slug,
                "quantization": e.quantization,
                "pricing": e.pricing(),
                "context_length": self.context_length,
                "supported_parameters": list(e.parameters),
            }
            for e in self.endpoints
        ]


MODELS = (
    Model(
        "openai/gpt-oss-120b",
        (
            Endpoint("Plain Cloud", "0.00000005", "0.00000025"),
            Endpoint("Quick Inc", "0.00000015", "0.0000006", quantization="fp8"),
        ),
    ),
    Model("qwen/qwen3-32b", (Endpoint("Plain Cloud", "0.0000001", "0.0000003"),)),
    Model("closed/frontier", (Endpoint("Closed", "0.000005", "0.000025"),), distillable=False),
    Model("varied/router", (Endpoint("Any", "0.000001", "0.000001"),), pricing={"prompt": "-1"}),
)
