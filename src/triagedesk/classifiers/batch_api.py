"""OpenAI's Files and Batches API on the wire: upload, create, find again, poll, cancel, download.

As the API is documented in openai 3.3 and its Batch guide, November 2026. Answers come within 24 hours at half price.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import httpx2
import openai  # noqa: TID251 - the folder that talks to the vendor

from triagedesk.classifiers.faults import translate, translated
from triagedesk.classifiers.transport import CappedTransport, check_base_url, hush_vendors
from triagedesk.errors import ConfigError, FallbackReason, ModelRefused, ModelUnavailable
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from openai.pagination import AsyncCursorPage  # noqa: TID251
    from openai.types import Batch  # noqa: TID251

T = TypeVar("T")

PRICE_SHARE = 0.5
"""Batch answers cost half of live ones (OpenAI help centre, "Batch API FAQ": 50 % cost discount)."""

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MAX_RESULT_BYTES = 2_000_000_000
"""No result file is larger: 50,000 replies of 32 KiB are 1.6 GB."""

CONNECT_S, CALL_S, QUIET_S = 10.0, 120.0, 300.0
"""In seconds: so long a connection may take to come about, a small call to be answered, and an upload or download to
stand still."""

TAG = "triagedesk"
"""The key of the batch's metadata by which a batch is found again."""

MOST_PAGES = 100
"""No list is read further: 10,000 batches that are younger than one of ours are a list without an end."""

_PAGE = 100
_AWAY = (FallbackReason.CONNECT, FallbackReason.TIMEOUT)
_OPENAI_URL = "https://api.openai.com/v1"
_CODE_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz_0123456789")


class NotReached(ModelUnavailable):
    """No connection came about: nothing was sent."""


@dataclass(frozen=True)
class Remote:
    """A batch at the provider. `codes` are the codes of its validation errors, `lines` the lines they stand on.

    `expires_at` is in seconds since 1970, None where the provider does not say.
    """

    id: str
    status: str
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    codes: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    expires_at: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("completed", "failed", "expired", "cancelled")


class BatchApi:
    """The provider's batches. Every method raises ModelError with its closed reason; none holds the vendor's words."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def upload(self, path: Path, name: str) -> str:
        """Send a file of request lines; returns its id."""
        with path.open("rb") as stream, _connected():
            made = await self._client.files.create(file=(name, stream, "application/jsonl"), purpose="batch")
        return _name(made.id)

    async def find_file(self, name: str, size: int) -> str | None:
        """Return the id of a file that was uploaded under this name and is whole, if there is one."""
        with _connected():
            async for file in _each(await self._client.files.list(purpose="batch", limit=1000)):
                if file.filename == name and file.bytes == size:
                    return _name(file.id)
        return None

    async def create(self, file_id: str, tag: str) -> Remote:
        """Start a batch. It is not known whether one was made if this fails: look with `find`."""
        return await _small(lambda: self._client.batches.create(
            input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", metadata={TAG: tag},
        ))  # fmt: skip

    async def find(self, tag: str) -> Remote | None:
        """Return the newest batch with this tag."""
        with _connected():
            async for batch in _each(await self._client.batches.list(limit=_PAGE)):
                if (batch.metadata or {}).get(TAG) == tag:
                    return _remote(batch)
        return None

    async def of_run(self, run: str) -> AsyncGenerator[Remote, None]:
        """Yield every batch whose tag begins with a run's name, the newest first."""
        with _connected():
            async for batch in _each(await self._client.batches.list(limit=_PAGE)):
                if str((batch.metadata or {}).get(TAG)).startswith(f"{run}-"):
                    yield _remote(batch)

    async def status(self, batch_id: str) -> Remote:
        """Ask how a batch stands."""
        return await _small(lambda: self._client.batches.retrieve(batch_id))

    async def cancel(self, batch_id: str) -> Remote:
        """Ask the provider to stop a batch; what it has answered so far is kept, and paid for."""
        return await _small(lambda: self._client.batches.cancel(batch_id))

    async def download(self, file_id: str, path: Path) -> None:
        """Stream a result file to disk. A part of a file never stands under its name."""
        partial = path.with_suffix(f"{path.suffix}-partial")
        with partial.open("wb") as sink:
            async with aclosing(self._chunks(file_id)) as chunks:
                async for chunk in chunks:
                    sink.write(chunk)  # a full disk is no fault of the provider's, so not inside of `translated`
        partial.replace(path)

    async def _chunks(self, file_id: str) -> AsyncGenerator[bytes, None]:
        with _connected():
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for chunk in response.iter_bytes(65_536):
                    yield chunk

    async def delete(self, file_id: str) -> None:
        """Remove a file from the provider's storage."""
        with translated(), anyio.fail_after(CALL_S):
            await self._client.files.delete(file_id)


@contextmanager
def _connected() -> Iterator[None]:
    """Translate what is raised inside, and say by a class of its own where no connection came about."""
    with translated():
        try:
            yield
        except openai.APIConnectionError as wrong:
            told = translate(wrong)
            if isinstance(wrong.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout) and told.reason in _AWAY:
                raise NotReached(FallbackReason.CONNECT, "no connection to the server; check base_url") from None
            raise


async def _each(page: AsyncCursorPage[T]) -> AsyncIterator[T]:
    """Yield what stands on a page and those after it. Raises ModelRefused where they do not end."""
    for number in itertools.count(1):
        for one in page.data or ():
            yield one
        if not page.has_next_page():
            return
        if number == MOST_PAGES:
            raise ModelRefused(FallbackReason.BAD_REPLY, "the server's list of files or batches does not end")
        page = await page.get_next_page()


async def _small(call: Callable[[], Awaitable[Batch]]) -> Remote:
    with _connected():
        with anyio.move_on_after(CALL_S):
            return _remote(await call())
        raise ModelUnavailable(FallbackReason.TIMEOUT, f"no reply within {CALL_S:g} s")


def _remote(batch: Batch) -> Remote:
    """Take what is needed out of the vendor's object; no message of an error is kept, it may hold ticket text."""
    if not isinstance(batch.id, str) or not isinstance(batch.status, str):
        raise ModelRefused(FallbackReason.BAD_REPLY, "the server has no Batch API; leave --via batch-api out")
    counts = batch.request_counts
    errors = (batch.errors.data or []) if batch.errors else []
    return Remote(
        batch.id, error_code(batch.status), _count(counts and counts.completed) or 0,
        _count(counts and counts.failed) or 0, batch.output_file_id and _name(batch.output_file_id),
        batch.error_file_id and _name(batch.error_file_id),
        tuple(dict.fromkeys(error_code(error.code) for error in errors)),
        tuple(line for error in errors if (line := _count(error.line)) is not None), _count(batch.expires_at),
    )  # fmt: skip


def _count(value: object) -> int | None:
    """Return what the SDK says is a number, if it is one: it checks no types."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _name(value: object) -> str:
    """Return a file's id. Raises ModelRefused if it is none."""
    if not isinstance(value, str) or not value:
        raise ModelRefused(FallbackReason.BAD_REPLY, "the server's Files API gives no usable id")
    return value


def error_code(code: Any) -> str:
    """Return a code of the provider's if it looks like one, else "unknown": it goes to logs and to the terminal."""
    return code if isinstance(code, str) and 0 < len(code) <= 60 and _CODE_CHARS.issuperset(code) else "unknown"


def reason_of_status(status: int, body: object) -> FallbackReason:
    """Return the closed reason of a request that was answered with an error, as for a live call."""
    reply = httpx2.Response(status, request=httpx2.Request("POST", ENDPOINT))
    return translate(openai.APIStatusError("", response=reply, body=body)).reason


@asynccontextmanager
async def open_batch_api(settings: Settings) -> AsyncIterator[BatchApi]:
    """Open the provider's Batch API with the key and address of the settings.

    Raises ConfigError where no model of a provider is asked.
    """
    provider, _, name = (settings.chosen_model or "").partition("/")
    if provider != "openai" or not name:
        raise ConfigError("--via batch-api: asks an OpenAI model; set OPENAI_API_KEY, or pass --model openai/NAME")
    base_url = check_base_url(settings.base_url or _OPENAI_URL)
    if settings.api_key is None and base_url == _OPENAI_URL:
        raise ConfigError("set OPENAI_API_KEY, or leave --via batch-api out")
    hush_vendors()
    inner = httpx2.AsyncHTTPTransport(trust_env=False)
    client = openai.AsyncOpenAI(
        api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
        base_url=base_url,
        max_retries=0,  # `batch/provider` is the one owner of retries
        timeout=httpx2.Timeout(QUIET_S, connect=CONNECT_S),
        http_client=httpx2.AsyncClient(
            transport=CappedTransport(inner, max_bytes=MAX_RESULT_BYTES), follow_redirects=False, trust_env=False,
            timeout=httpx2.Timeout(QUIET_S, connect=CONNECT_S),
        ),
    )  # fmt: skip
    try:
        yield BatchApi(client)
    finally:
        await client.close()
