"""The blocking facade for scripts and notebooks: the very same desk, run on a portal thread."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from triagedesk.desk import Desk, open_desk
from triagedesk.models import Suggestion, Ticket
from triagedesk.settings import Settings


class BlockingDesk:
    """A desk for code that is not async.

    >>> with BlockingDesk(Settings(model="rules")) as desk:
    ...     suggestion = desk.suggest(Ticket(body="I was charged twice"))

    Raises ConfigError on entering, as `open_desk` does.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._desk: Desk | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._desk = stack.enter_context(self._portal.wrap_async_context_manager(open_desk(self._settings)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._portal = self._desk = None

    @property
    def desk(self) -> Desk:
        """The desk underneath. Raises RuntimeError outside the `with` block."""
        if self._desk is None:
            raise RuntimeError("use BlockingDesk in a `with` block")
        return self._desk

    def suggest(self, ticket: Ticket, *, deadline_s: float | None = None) -> Suggestion:
        """Suggest labels for a ticket; see `Desk.suggest`."""
        desk = self.desk
        assert self._portal is not None  # set together with the desk
        return self._portal.call(lambda: desk.suggest(ticket, deadline_s=deadline_s))
