"""Every part from its file to its answers: uploaded once, created once, polled until it is over, merged."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from triagedesk.batch.provider.options import News, PrepayOptions, Watch
from triagedesk.batch.provider.requests import split_lines
from triagedesk.batch.provider.results import merge, reason_after
from triagedesk.batch.provider.state import Part, State, damaged
from triagedesk.batch.provider.store import Questions
from triagedesk.classifiers.batch_api import NotReached
from triagedesk.errors import ConfigError, ModelError, ModelUnavailable

if TYPE_CHECKING:
    from triagedesk.classifiers.batch_api import BatchApi, Remote
    from triagedesk.classifiers.llm import ModelClassifier

TRIES = 10
"""So often a call is made before the batch stops, with growing pauses: about six minutes."""

TOKEN_LIMIT = "token_limit_exceeded"  # noqa: S105 - the provider's code for "too much is queued already"
LEAST_SPLIT = 50
"""A part of no more requests is not split when the provider's queue is full, but created again later."""

MOST_CREATIONS = 200

WINDOW_S, MARGIN_S = 86_400.0, 7_200.0
"""A batch is over after 24 hours, its completion window; for so long after that it is asked after, in seconds."""

T = TypeVar("T")


class Delivery:
    """Takes all parts of a plan to their answers. Raises ModelError when the provider cannot be talked to."""

    def __init__(
        self, api: BatchApi, model: ModelClassifier, state: State, questions: Questions, options: PrepayOptions,
        news: News, watch: Watch,
    ) -> None:  # fmt: skip
        self._api, self._model, self._state, self._questions = api, model, state, questions
        self._options, self._news, self._watch = options, news, watch
        self._remotes: dict[int, Remote] = {}
        self._ends: dict[str, float] = {}
        self._queue_full = False
        self._was_reached = False

    async def all(self) -> None:
        """Deliver until no part is open."""
        for part in list(self._state.parts.values()):
            await self._clean_up(part)
        pause = self._options.first_poll_s
        while parts := self._state.open_parts():
            for part in parts:
                await self._send(part)
            self._tell("waiting")
            await self._options.sleep(pause)
            pause = min(pause * 1.5, self._options.longest_poll_s)
            for part in parts:
                if part.batch is not None:
                    await self._look(part, part.batch)
        self._tell("done")

    async def _send(self, part: Part) -> None:
        """Upload and create, each unless it was done before."""
        if part.batch is not None or (self._queue_full and self._in_flight()):
            return
        self._tell("sending")
        if part.file is None:
            self._state.write("uploaded", part, file=await self._upload(part))
        found = await self._patiently(lambda: self._api.find(part.tag(self._state.run))) if part.creations else None
        remote = found or await self._create(part)
        self._state.write("created", part, batch=remote.id)
        self._remotes[part.number] = remote

    async def _upload(self, part: Part) -> str:
        """Upload a part; one that went up before a kill is found by its name."""
        name = f"triagedesk-{self._state.run}-{part.number}.jsonl"
        path = self._state.requests_file(part.number)
        if not path.is_file() or path.stat().st_size != part.size:
            raise damaged(self._state.folder, f"{path.name} is missing or not what was written")

        async def upload() -> str:
            return await self._api.find_file(name, part.size) or await self._api.upload(path, name)

        return await self._patiently(upload)

    async def _create(self, part: Part) -> Remote:
        """Create a part's batch; after a failure that may have come behind the creation, look for it first."""
        self._state.write("creating", part)
        tag, tried = part.tag(self._state.run), False

        async def create() -> Remote:
            nonlocal tried
            found = await self._api.find(tag) if tried else None
            tried = True
            return found or await self._api.create(str(part.file), tag)

        return await self._patiently(create)

    async def _look(self, part: Part, batch: str) -> None:
        """Ask how a part stands; take its results once it is over."""
        remote = self._remotes[part.number] = await self._patiently(lambda: self._api.status(batch))
        if not remote.over:
            self._check_time(part, remote)
            return
        if remote.status == "failed" and TOKEN_LIMIT in remote.codes and part.creations < MOST_CREATIONS:
            await self._make_room(part)
            return
        if remote.codes:
            self._news.notes.append(_refusal(part, remote))
        await self._take_results(part, remote)
        self._queue_full = False

    def _check_time(self, part: Part, remote: Remote) -> None:
        """Raise ConfigError about a batch that does not end: whatever it is called, nobody waits for it for ever."""
        now = self._options.clock()
        end = self._ends.setdefault(remote.id, min(now + WINDOW_S, remote.expires_at or math.inf))
        if now > end + MARGIN_S:
            raise ConfigError(
                f"{self._state.folder}: the batch of part {part.number} is still {remote.status!r} at the provider, "
                "hours after its end; look at it there, then give the same command again, or end it with --cancel"
            )

    async def _take_results(self, part: Part, remote: Remote) -> None:
        self._tell("merging")
        for file, kind in ((remote.output_file, "output"), (remote.error_file, "errors")):
            if file is None:
                continue
            path = self._state.folder / f"part-{part.number:04d}.{kind}"
            await self._patiently(lambda file=file, path=path: self._api.download(file, path))  # type: ignore[misc]
            await merge(path, part.number, self._questions, self._model)
        self._tell_of_missing(part, remote)
        self._questions.give_up(part.number, reason_after(remote.status))
        files = [file for file in (part.file, remote.output_file, remote.error_file) if file is not None]
        self._state.write("merged", part, status=remote.status, files=files)
        await self._clean_up(part)

    def _tell_of_missing(self, part: Part, remote: Remote) -> None:
        """Say so where the files hold less than the provider counts: it may be the count that is wrong."""
        known, counted = self._questions.known(part.number), remote.completed + remote.failed
        if known < min(counted, part.requests):
            self._news.notes.append(
                f"the provider counts {counted:,} of part {part.number}'s requests as done, its files hold {known:,} "
                f"that can be read; the others are {reason_after(remote.status)}"
            )
            self._tell("merging")

    async def _clean_up(self, part: Part) -> None:
        """Remove the tickets of a part that is over from the provider's storage and from this folder."""
        if not part.leftovers:
            return
        for file in part.leftovers:
            with contextlib.suppress(ModelError):  # it expires there by itself
                await self._api.delete(file)
        for path in self._state.folder.glob(f"part-{part.number:04d}.*"):
            path.unlink(missing_ok=True)
        self._state.write("cleaned", part)

    async def _make_room(self, part: Part) -> None:
        """Too many tokens are queued: wait for another part of ours, else go on in halves, else try again later."""
        self._queue_full = True
        part.batch = None
        self._remotes.pop(part.number, None)
        if self._in_flight() or part.requests <= LEAST_SPLIT:
            self._state.write("creating", part)  # a new tag: the refused batch must not be found again
            return
        parts, names = split_lines(self._state.requests_file(part.number), self._state, part.requests)
        with self._questions.together():
            for number, held in names.items():
                self._questions.move(held, number)
        self._state.write("split", part, parts=parts, files=[part.file])
        await self._clean_up(part)
        self._news.notes.append(
            f"the provider's queue is full: part {part.number} goes on in {len(parts)} smaller ones"
        )

    def _in_flight(self) -> int:
        return sum(part.batch is not None for part in self._state.open_parts())

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call again while the provider is only busy or away. Raises ModelError.

        Where nothing was ever reached the address is wrong more likely than the provider away: that is told at once.
        """
        pause = self._options.first_poll_s
        for tried in range(1, TRIES):
            try:
                made = await call()
            except ModelUnavailable as wrong:
                away = isinstance(wrong, NotReached)
                if away and not self._was_reached:
                    raise
                self._was_reached = self._was_reached or not away
                await self._wait(pause, wrong, tried)
                pause = min(2 * pause, self._options.longest_poll_s)
            else:
                self._was_reached = True
                return made
        return await call()

    async def _wait(self, pause: float, wrong: ModelUnavailable, tried: int) -> None:
        """Say why a call is made again and when, and pause until then: as long as the server asks, within the limit."""
        wish = wrong.retry_after_s or 0.0
        pause = max(pause, min(wish, self._options.longest_poll_s))
        asks = f", the server asks for {wish:,.0f} s" if wish > pause else ""
        self._news.notes.append(
            f"{wrong.reason.value}{asks}; asked again in {pause:g} s ({tried + 1} of {TRIES})"
        )  # fmt: skip
        self._watch(self._news)
        await self._options.sleep(pause)

    def _tell(self, phase: str) -> None:
        news, parts = self._news, [part for part in self._state.parts.values() if part.outcome != "split"]
        news.phase, news.parts = phase, len(parts)
        news.parts_over = sum(part.outcome is not None for part in parts)
        answered, failed = self._questions.counts()
        waiting = [self._remotes[part.number] for part in self._state.open_parts() if part.number in self._remotes]
        news.completed = answered + sum(remote.completed for remote in waiting)
        news.failed = failed + sum(remote.failed for remote in waiting)
        news.statuses = Counter(remote.status for remote in waiting)
        self._watch(news)


def _refusal(part: Part, remote: Remote) -> str:
    where = f", first at line {remote.lines[0]} of its file" if remote.lines else ""
    return f"the provider refused part {part.number}: {', '.join(remote.codes[:3])}{where}"
