"""Who may come in: a key with the scope, or, where no key was ever made, this machine alone."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from triagedesk.service.keys import KeyProblem, KeyRefused, bearer
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.records import ApiKey, Scope

Caller = ApiKey | None
"""None is a process on this machine while there are no keys."""

_bearer = HTTPBearer(auto_error=False, description="tdk_…, made by `triagedesk keys create`")
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip")


def admitted(scope: Scope, *, spends: bool = False) -> Any:
    """Return the dependency that lets in who has a scope; `spends` asks the day's budget too."""

    async def admit(
        request: Request, runtime: Annotated[Runtime, Depends(runtime_of)], _shown: Annotated[Any, Depends(_bearer)]
    ) -> Caller:
        return await enter(request, runtime, scope, spends=spends)

    return Depends(admit)


async def enter(request: Request, runtime: Runtime, scope: Scope, *, spends: bool = False) -> Caller:
    """Return the caller's key, or None for this machine where there are no keys. Raises KeyRefused."""
    sent = request.headers.getlist("authorization")
    if len(sent) > 1:
        raise KeyRefused(KeyProblem.UNKNOWN)
    secret = bearer(sent[0]) if sent else None
    if not sent and _is_local(request) and not await runtime.gate.ring.any():
        return None
    return await runtime.gate.admit(secret, scope, spends=spends)


def _is_local(request: Request) -> bool:
    """Say whether this very machine asks, by a name of its own: neither through a proxy nor through a browser's trick.

    A page elsewhere can point its own name at 127.0.0.1; then the Host header tells.
    """
    if request.client is None or any(name in request.headers for name in _PASSED_ON):
        return False
    return _loopback(request.client.host) and _loopback(_host(request.headers.get("host", "")))


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
