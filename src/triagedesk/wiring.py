"""What a desk with a model is made of: opened here, and closed in the same place.

Its imports cost a second and tens of megabytes, so this file is imported only where a model is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio

from triagedesk.asking import Answers, Asking
from triagedesk.cache import CacheKey, open_cache, shared_cache
from triagedesk.classifiers.llm import ModelClassifier
from triagedesk.classifiers.packed import PackedClassifier
from triagedesk.playbook import Playbook
from triagedesk.privacy import warm_up
from triagedesk.prompts import load_prompt
from triagedesk.settings import Settings
from triagedesk.taskgroups import side_tasks


@asynccontextmanager
async def open_asking(settings: Settings, playbook: Playbook) -> AsyncIterator[Asking]:
    """Open model, cache and flights. Raises ConfigError when a setting, file, key or address cannot be used."""
    prompt = load_prompt(settings.prompt)
    async with AsyncExitStack() as stack:
        base_url, place = await _local_server(settings, stack)
        kind = PackedClassifier if settings.pack > 1 else ModelClassifier
        model = kind(settings, playbook, prompt, base_url=base_url, place=place)
        stack.push_async_callback(model.aclose)
        cache, secret = await _answers(settings, stack)
        await anyio.to_thread.run_sync(warm_up)
        tasks = await stack.enter_async_context(side_tasks())
        if isinstance(model, PackedClassifier):
            model.tasks = tasks
        if base_url is None:
            tasks.start_soon(model.warm_up)  # a server elsewhere may hang: nobody waits for it
        else:
            await model.warm_up()
        key = CacheKey((model.identity, _privacy_identity(settings)), secret=secret)
        yield Asking(
            model, tasks, cache=cache, key=key,
            max_concurrency=settings.max_concurrency * settings.pack, max_late=settings.max_late_answers,
        )  # fmt: skip


async def _answers(settings: Settings, stack: AsyncExitStack) -> tuple[Answers | None, bytes]:
    """Open the cache on disk, or the shared one; return it with the secret of its keys."""
    if not settings.cache:
        return None, b""
    if settings.cache_url is not None:
        shared = await stack.enter_async_context(shared_cache(settings))
        return shared, shared.secret
    cache = open_cache(settings)
    stack.callback(cache.close)
    return cache, cache.secret


def _privacy_identity(settings: Settings) -> str:
    return "redacted" if settings.redact else "plain"


async def _local_server(settings: Settings, stack: AsyncExitStack) -> tuple[str | None, str | None]:
    """Start llama.cpp in this process for a local model; return its address and the name that stays."""
    provider, _, path = (settings.chosen_model or "").partition("/")
    if provider != "local" or settings.base_url is not None:
        return None, None
    from triagedesk.classifiers.local import start_local

    server = await anyio.to_thread.run_sync(start_local, Path(path), settings)
    stack.callback(server.close)
    return server.base_url, server.place
