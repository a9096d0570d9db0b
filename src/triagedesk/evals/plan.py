"""What a run would take: tokens and money, told before anything is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triagedesk.evals.conduct import Setup

CHARS_PER_TOKEN = 3.6
"""English and German support text under the tokenizers of OpenAI, Qwen and Llama: 3.2 to 4.2 characters a token."""
COMPLETION_TOKENS = 260
"""What an answer with reasons and quotes in three dimensions takes, give or take a third."""


@dataclass(frozen=True)
class Plan:
    """An estimate. `cost_usd` is None where no prices are set, `static_tokens` may come cheaper from a prefix cache."""

    tickets: int
    calls: int
    static_tokens: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the estimate in words."""
        if not self.calls:
            return [f"{self.tickets} tickets, answered without a model: no call, no token, no cost"]
        price = "unknown: set price_prompt and price_completion (USD per million tokens) under [settings]"
        return [
            f"{self.tickets} tickets, {self.calls} calls at most but for retries",
            f"prompt about {self.prompt_tokens:,} tokens, {self.static_tokens:,} of each call the same for all",
            f"completion about {self.completion_tokens:,} tokens",
            f"cost about {price if self.cost_usd is None else f'${self.cost_usd:.4f}'}",
        ]


def plan(setup: Setup) -> Plan:
    """Estimate a run from its prompt and tickets; nothing is asked."""
    tickets = len(setup.rows) * setup.config.k
    if not setup.config.asks_a_model:
        return Plan(tickets, 0, 0, 0, 0, 0.0)
    from triagedesk.prompts import load_prompt

    static = round(len(load_prompt(setup.config.prompt).render(setup.playbook)) / CHARS_PER_TOKEN)
    text = sum(len(row.text) for row in setup.rows) * setup.config.k
    prompt = static * tickets + round(text / CHARS_PER_TOKEN)
    completion = COMPLETION_TOKENS * tickets
    settings = setup.settings(0)
    cost = None
    if settings.price_prompt is not None and settings.price_completion is not None:
        cost = (prompt * settings.price_prompt + completion * settings.price_completion) / 1e6
    return Plan(tickets, tickets, static, prompt, completion, cost)
