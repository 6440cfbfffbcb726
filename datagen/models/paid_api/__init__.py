"""Models behind an OpenAI-compatible API that costs money: budget, ledger, requests, answers."""
