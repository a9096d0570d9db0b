"""`triagedesk batch --engine ray`: its options, and what they make of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.batch import Job, Tally
    from triagedesk.settings import Settings

EngineOption = Annotated[
    str, typer.Option("--engine", metavar="local|ray", help="ray: on a Ray cluster, one desk in each actor.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", metavar="HOST:PORT", help="The cluster, or auto. Default: one of its own."),
]
ActorsOption = Annotated[int | None, typer.Option("--actors", metavar="N", help="Default: one for each CPU.")]
BlockRowsOption = Annotated[
    int | None, typer.Option("--block-rows", metavar="N", help="Rows that go, and are kept, together. Default: 2000.")
]


@dataclass(frozen=True)
class OnRay:
    """The options of the Ray engine, as they were given."""

    engine: str = "local"
    address: str | None = None
    actors: int | None = None
    block_rows: int | None = None

    @property
    def is_wanted(self) -> bool:
        """Say if Ray is to do it. Raises ConfigError where the options do not fit together."""
        if self.engine not in ("local", "ray"):
            raise ConfigError("--engine: give local or ray")
        if self.engine == "local" and (self.address, self.actors, self.block_rows) != (None, None, None):
            raise ConfigError("--ray-address, --actors and --block-rows belong to --engine ray; pass that too")
        return self.engine == "ray"

    def run(self, settings: Settings, job: Job, watch: Callable[[Tally, int], None]) -> Tally:
        """Run the batch on Ray. Raises ConfigError."""
        from triagedesk.batch.on_ray.engine import Spread, run_on_ray

        spread = Spread(self.address, self.actors)
        if self.block_rows is not None:
            spread = Spread(self.address, self.actors, self.block_rows)
        return run_on_ray(settings, job, spread, watch)
