"""The pass before the ordinary run: questions are planned, delivered and settled, in an order known only here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.batch.provider.delivery import Delivery
from triagedesk.batch.provider.options import News, PrepayOptions, Watch
from triagedesk.batch.provider.prepaid import PrepaidAnswers
from triagedesk.batch.provider.requests import Planner
from triagedesk.batch.provider.soundness import check, told_apart
from triagedesk.batch.provider.state import JOURNAL, QUESTIONS, State, open_state, open_to_cancel
from triagedesk.batch.provider.store import Questions
from triagedesk.batch.rows import Row
from triagedesk.classifiers.batch_api import BatchApi, Remote, open_batch_api
from triagedesk.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from triagedesk.asking import Asking
    from triagedesk.desk import Desk

Rows = Callable[[], Iterator[Row]]
"""Reads the input from its beginning: a resumed batch does it once more."""


def _silent(_: News) -> None: ...


async def prepay(
    desk: Desk, rows: Rows, folder: Path, *, options: PrepayOptions | None = None, watch: Watch = _silent
) -> PrepaidAnswers:
    """Have the provider's Batch API answer every question of the rows that nobody knows yet, each once.

    The desk takes the answers from then on; close the result when the rows are written, or discard it when all are.
    Killed at any moment, the same call goes on where it stopped. Raises ConfigError if the state or the provider
    cannot be used, OSError if the disk fails.
    """
    options, news = options or PrepayOptions(), News()
    asking = _asking(desk)
    async with open_batch_api(desk.settings) as api:
        with ExitStack() as stack:
            state = stack.enter_context(open_state(folder, identity_of(desk, options)))
            with told_apart(folder):
                questions = Questions(folder / QUESTIONS)
                stack.callback(questions.close)
                if state.planned:
                    check(state, questions, asking.model)
                await _plan(desk, asking, rows, state, questions, options, news, watch)
                try:
                    await Delivery(api, asking.model, state, questions, options, news, watch).all()
                except ModelError as wrong:
                    raise _stopped(wrong) from None
            held = stack.pop_all()
    paid = asking.prepaid = PrepaidAnswers(folder, state.secret, questions, options.then, held)
    held.callback(setattr, asking, "prepaid", None)
    return paid


async def _plan(
    desk: Desk, asking: Asking, rows: Rows, state: State, questions: Questions, options: PrepayOptions, news: News,
    watch: Watch,
) -> None:  # fmt: skip
    """Write the requests, unless that was done; then find out which answers OUT holds already."""
    planner = Planner(desk, asking, state, questions, options)
    if not state.planned:
        async for told in planner.plan(rows(), news):
            watch(told)
    elif options.written is not None:
        async for told in planner.mark_written(rows(), news):
            watch(told)
    news.requests = sum(part.requests for part in state.parts.values() if part.outcome != "split")


async def cancel(desk: Desk, folder: Path, *, options: PrepayOptions | None = None) -> int:
    """Have the provider stop the batches that run. Returns how many; what they answered is taken by the next run.

    Of a damaged journal the first line is enough. Raises ConfigError if there is no such batch, or the provider cannot
    be used.
    """
    if not any((folder / name).is_file() for name in (JOURNAL, QUESTIONS)):
        raise ConfigError(f"{folder}: no batch of the provider runs for this OUT; there is nothing to cancel")
    cancelled = 0
    with open_to_cancel(folder, identity_of(desk, options or PrepayOptions())) as (run, state):
        async with open_batch_api(desk.settings) as api:
            ours = api.of_run(run) if state is None else _of_state(state, api)
            try:
                async with aclosing(ours) as remotes:
                    async for remote in remotes:
                        if not remote.over:
                            await api.cancel(remote.id)
                            cancelled += 1
            except ModelError as wrong:
                raise _stopped(wrong) from None
    return cancelled


async def _of_state(state: State, api: BatchApi) -> AsyncGenerator[Remote, None]:
    """Yield the batches of the open parts, also one that was created just before a run was interrupted."""
    for part in state.open_parts():
        if part.batch is not None:
            yield await api.status(part.batch)
        elif part.creations and (found := await api.find(part.tag(state.run))) is not None:
            yield found


def identity_of(desk: Desk, options: PrepayOptions) -> str:
    """Name the batch by all that decides its questions and answers."""
    parts = (options.identity, desk.playbook.identity, _asking(desk).model.identity, str(desk.settings.redact))
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _asking(desk: Desk) -> Asking:
    if desk.asking is None:
        raise ConfigError("--via batch-api: asks an OpenAI model; set OPENAI_API_KEY, or pass --model openai/NAME")
    return desk.asking


def _stopped(wrong: ModelError) -> ConfigError:
    what = wrong.detail or wrong.reason.value
    return ConfigError(f"batch API: {what} ({wrong.reason.value}); nothing is lost, the same command goes on")
