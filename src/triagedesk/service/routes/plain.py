"""Routes for what is asked most: documented as FastAPI documents them, served without what FastAPI does a request.

Resolving dependencies takes longer than all that a remembered ticket needs at the desk.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match, Route
from starlette.types import Scope


class PlainRoute(APIRoute):
    """A route whose endpoint gets the request alone.

    Its other parameters and its dependencies are there to be documented: the endpoint reads them from the request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


class Shortcut(Route):
    """A route that says in the scope which one it is, as FastAPI's do: metrics and traces name it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is meant for it."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def shortcuts(router: APIRouter) -> list[Shortcut]:
    """Return the plain routes of a router as Starlette's, to be tried before all others."""
    return [
        Shortcut(route.path, route.endpoint, methods=sorted(route.methods or ()), include_in_schema=False)
        for route in router.routes
        if isinstance(route, PlainRoute)
    ]
