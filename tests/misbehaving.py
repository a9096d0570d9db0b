"""A model server on loopback that misbehaves in every way on record, over raw sockets and in a process of its own.

`http://127.0.0.1:PORT/<fault>/v1` behaves as the function of that name below does. `GET /_count/<fault>` says how many
requests came for it, `GET /_elsewhere` how many bytes came to a second port, to which the redirects point. A list of
models is given readily and not counted, but under `/always_<fault>/v1`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Writer = asyncio.StreamWriter
Fault = Callable[["Request", Writer], Awaitable[None]]


class Request:
    """What came in: the body as JSON, and how many came before it for the same fault."""

    def __init__(self, body: bytes, number: int) -> None:
        self.body, self.number = json.loads(body or b"{}"), number


def answer_for(schema: dict[str, Any]) -> Any:
    """Make up a valid answer to a schema: the first of every choice."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: answer_for(inner) for name, inner in schema["properties"].items()}
    return {"array": [], "string": "something", "number": 0.5}[schema["type"]]


def good_answer(request: Request) -> dict[str, Any]:
    """Make up a valid answer to a request."""
    wanted = request.body.get("response_format", {}).get("json_schema")
    made: dict[str, Any] = answer_for(wanted["schema"]) if wanted else {}
    return made


def completion(content: object, *, finish: str = "stop", **message: object) -> dict[str, Any]:
    """A chat completion around a content."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "x", "object": "chat.completion", "created": 1, "model": "made-up-1",
        "choices": [{"index": 0, "finish_reason": finish, "message": said}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 90, "total_tokens": 1290,
                  "prompt_tokens_details": {"cached_tokens": 1024}},
    }  # fmt: skip


async def reply(
    writer: Writer, body: object = b"", status: str = "200 OK", kind: str = "application/json", head: str = ""
) -> None:
    """Send a whole reply."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{head}\r\n"
    writer.write(text.encode("latin-1") + data)
    await writer.drain()


async def head(writer: Writer, lines: str = "Transfer-Encoding: chunked\r\n", status: str = "200 OK") -> None:
    """Send a reply's head only."""
    writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{lines}\r\n".encode())
    await writer.drain()


async def drip(writer: Writer, data: bytes, every: float = 0.02) -> None:
    """Send bytes one by one, for ever if it comes to that."""
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(every)
    await asyncio.sleep(3600)


def reset(writer: Writer) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# --- slow and silent


async def hang(request: Request, writer: Writer) -> None:
    await asyncio.sleep(3600)


async def headers_then_silence(request: Request, writer: Writer) -> None:
    await head(writer)
    await asyncio.sleep(3600)


async def body_byte_by_byte(request: Request, writer: Writer) -> None:
    await head(writer, "Content-Length: 5000\r\n")
    await drip(writer, b"{" + b" " * 4999)


async def headers_byte_by_byte(request: Request, writer: Writer) -> None:
    await drip(writer, b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 5000)


async def white_space_for_ever(request: Request, writer: Writer) -> None:
    await head(writer)
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def interim_flood(request: Request, writer: Writer) -> None:
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


async def slow_wrong_label(request: Request, writer: Writer) -> None:
    await asyncio.sleep(0.4)
    await wrong_label(request, writer)


# --- large


async def large_body(request: Request, writer: Writer) -> None:
    await head(writer)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(300 * 16):
        writer.write(chunk)
        await writer.drain()


async def large_by_its_length(request: Request, writer: Writer) -> None:
    await head(writer, "Content-Length: 314572800\r\n")
    await asyncio.sleep(3600)


_BOMB = gzip.compress(b" " * 300_000_000, compresslevel=1) if __name__ == "__main__" else b""


async def gzip_bomb(request: Request, writer: Writer) -> None:
    await reply(writer, _BOMB, head="Content-Encoding: gzip\r\n")


async def large_header(request: Request, writer: Writer) -> None:
    await reply(writer, b"{}", head=f"X-Large: {'a' * 1_000_000}\r\n")


async def many_headers(request: Request, writer: Writer) -> None:
    await reply(writer, b"{}", head="".join(f"X-{n}: a\r\n" for n in range(500)))


async def large_label(request: Request, writer: Writer) -> None:
    await reply(writer, completion({"urgency": {"label": "a" * 5_000_000}}))


async def answer_beyond_the_cap(request: Request, writer: Writer) -> None:
    await reply(writer, completion("a" * 100_000))


# --- statuses


def status(code: str, body: object = None, lines: str = "") -> Fault:
    async def fault(request: Request, writer: Writer) -> None:
        await reply(writer, body or {"error": {"message": "no"}}, code, head=lines)

    return fault


def once(first: Fault) -> Fault:
    async def fault(request: Request, writer: Writer) -> None:
        await (first if request.number == 1 else good)(request, writer)

    return fault


async def good(request: Request, writer: Writer) -> None:
    await reply(writer, completion(good_answer(request)))


async def good_after_0_2_s(request: Request, writer: Writer) -> None:
    await asyncio.sleep(0.2)
    await good(request, writer)


async def too_long(request: Request, writer: Writer) -> None:
    """Take what is shorter than 30,000 characters."""
    length = sum(len(message["content"]) for message in request.body["messages"])
    if length < 30_000:
        await good(request, writer)
        return
    problem = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": length // 4, "n_ctx": 7_500}
    await reply(writer, {"error": problem}, "400 Bad Request")


async def no_temperature(request: Request, writer: Writer) -> None:
    if "temperature" not in request.body:
        await good(request, writer)
        return
    problem = {"message": "no", "param": "temperature", "code": "unsupported_value"}
    await reply(writer, {"error": problem}, "400 Bad Request")


async def redirect_elsewhere(request: Request, writer: Writer) -> None:
    where = f"Location: http://127.0.0.1:{PORTS['elsewhere']}/v1/chat/completions\r\n"
    await reply(writer, b"", "307 Temporary Redirect", head=where)


async def redirect_to_itself(request: Request, writer: Writer) -> None:
    await reply(writer, b"", "302 Found", head="Location: /redirect_to_itself/v1/chat/completions\r\n")


# --- broken connections


async def reset_at_once(request: Request, writer: Writer) -> None:
    reset(writer)


async def reset_in_the_body(request: Request, writer: Writer) -> None:
    await head(writer, "Content-Length: 5000\r\n")
    writer.write(b"{" * 100)
    await writer.drain()
    await asyncio.sleep(0.01)
    reset(writer)


async def close_without_reply(request: Request, writer: Writer) -> None:
    writer.close()


async def shorter_than_its_length(request: Request, writer: Writer) -> None:
    await head(writer, "Content-Length: 5000\r\n")
    writer.write(b"{}")
    await writer.drain()
    writer.close()


async def no_http(request: Request, writer: Writer) -> None:
    writer.write(b"\x00\xffthis is no HTTP at all\r\n\r\n")
    await writer.drain()
    writer.close()


# --- replies that are none


def body(data: object, kind: str = "application/json", code: str = "200 OK") -> Fault:
    async def fault(request: Request, writer: Writer) -> None:
        await reply(writer, data, code, kind)

    return fault


def changed(change: Callable[[dict[str, Any]], object]) -> Fault:
    """A completion whose good answer was changed; the change returns the content."""

    async def fault(request: Request, writer: Writer) -> None:
        await reply(writer, completion(change(good_answer(request))))

    return fault


def with_confidence(text: str) -> Fault:
    return changed(lambda answer: json.dumps(answer).replace("0.5", text, 1))


async def wrong_label(request: Request, writer: Writer) -> None:
    answer = good_answer(request)
    answer["urgency"]["label"] = "apocalyptic"
    await reply(writer, completion(answer))


async def cut_off(request: Request, writer: Writer) -> None:
    await reply(writer, completion(json.dumps(good_answer(request))[:-40], finish="length"))


async def refusal(request: Request, writer: Writer) -> None:
    await reply(writer, completion(None, refusal="I would rather not."))


async def filtered(request: Request, writer: Writer) -> None:
    await reply(writer, completion("", finish="content_filter"))


_UNICODE = completion("x")

FAULTS: dict[str, Fault] = {
    item.__name__: item
    for item in (
        good, hang, headers_then_silence, body_byte_by_byte, headers_byte_by_byte, white_space_for_ever, interim_flood,
        slow_wrong_label, large_body, large_by_its_length, gzip_bomb, large_header, many_headers, large_label,
        answer_beyond_the_cap, too_long, no_temperature, redirect_elsewhere, redirect_to_itself, reset_at_once,
        reset_in_the_body, close_without_reply, shorter_than_its_length, no_http, wrong_label, cut_off, refusal,
        filtered, good_after_0_2_s,
    )
} | {
    "rate_limit_60_s": status("429 Too Many Requests", lines="Retry-After: 60\r\n"),
    "rate_limit_never_over": status("429 Too Many Requests", lines="Retry-After: 1e308\r\n"),
    "rate_limit_soon": status("429 Too Many Requests", lines="Retry-After: soon\r\n"),
    "rate_limit_negative": status("429 Too Many Requests", lines="Retry-After: -5\r\n"),
    "rate_limit_in_the_past": status("429 X", lines="Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
    "rate_limit_once": once(status("429 Too Many Requests", lines="Retry-After: 0.1\r\n")),
    "out_of_quota": status("429 Too Many Requests", {"error": {"code": "insufficient_quota"}}),
    "error_500": status("500 Internal Server Error"),
    "error_500_once": once(status("500 Internal Server Error")),
    "error_503_later": status("503 Service Unavailable", lines="Retry-After: 60\r\n"),
    "error_529": status("529 Overloaded"),
    "error_400": status("400 Bad Request", lines="x-should-retry: true\r\n"),
    "error_401": status("401 Unauthorized"),
    "error_403": status("403 Forbidden"),
    "error_404": status("404 Not Found"),
    "error_422": status("422 Unprocessable Entity"),
    "too_long_always": status("400 Bad Request", {"error": {"code": "context_length_exceeded"}}),
    "closed_once": once(close_without_reply),
    "broken_json": body(b'{"choices": [{"mess'),
    "broken_json_once": once(body(b'{"choices": [{"mess')),
    "empty": body(b""),
    "no_content": body(b"", code="204 No Content"),
    "login_page": body(b"<!doctype html><p>Log in</p>", "text/html"),
    "event_stream": body(b"data: {}\n\n", "text/event-stream"),
    "error_with_200": body({"error": {"message": "overloaded"}}),
    "choices_empty": body({"choices": []}),
    "choices_null": body({"choices": None}),
    "choices_missing": body({"id": "x"}),
    "choice_without_message": body({"choices": [{"finish_reason": "stop"}]}),
    "json_array": body([1, 2]),
    "bytes_that_are_not_utf8": body(json.dumps(_UNICODE).encode().replace(b'"x"', b'"\xff\xfe"')),
    "half_a_surrogate_pair": changed(lambda answer: json.dumps(answer).replace("something", r"\ud800", 1)),
    "half_a_pair_in_the_reply": body(json.dumps(_UNICODE).replace('"x"', r'"\ud800"').encode()),
    "nul_in_a_reason": changed(lambda answer: json.dumps(answer).replace("something", r"\u0000", 1)),
    "deep_reply": body(b"[" * 200_000),
    "deep_answer": changed(lambda answer: "[" * 20_000),
    "many_digits": with_confidence("1" * 30_000),
    "wrong_label_once": once(wrong_label),
    "confidence_nan": with_confidence("NaN"),
    "confidence_9": with_confidence("9"),
    "confidence_minus_1": with_confidence("-1"),
    "confidence_as_text": with_confidence('"0.9"'),
    "a_key_twice": changed(lambda answer: json.dumps(answer).replace("{", '{"urgency": {}, ', 1)),
    "a_key_too_many": changed(lambda answer: {**answer, "CANARY-KEY": 1}),
    "no_json": changed(lambda answer: "Sure! The urgency is high."),
    "broken_off": changed(lambda answer: json.dumps(answer)[:-40]),
    "fenced": changed(lambda answer: f"```json\n{json.dumps(answer)}\n```"),
}  # fmt: skip

PORTS: dict[str, int] = {}
COUNTS: Counter[str] = Counter()
BYTES_ELSEWHERE = 0


async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Read requests of one connection and misbehave."""
    try:
        while first := await reader.read(1):
            if first == b"\x16":  # a TLS handshake at a plain port
                await reply(writer, b"", "400 Bad Request")
                return
            request_line, length = first + await reader.readline(), 0
            while (line := await reader.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            await behave(request_line.split()[1].decode(), await reader.readexactly(length), writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def behave(path: str, sent: bytes, writer: Writer) -> None:
    """Answer one request, and count it."""
    fault, _, rest = path.strip("/").partition("/")
    if fault == "_count":
        await reply(writer, COUNTS[rest])
    elif fault == "_elsewhere":
        await reply(writer, BYTES_ELSEWHERE)
    elif rest.endswith("/models") and not fault.startswith("always_"):
        await reply(writer, {"data": []})  # the warm-up of a desk, before the trouble begins
    else:
        fault = fault.removeprefix("always_")
        COUNTS[fault] += 1
        await FAULTS[fault](Request(sent, COUNTS[fault]), writer)


async def elsewhere(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Count what should never come."""
    global BYTES_ELSEWHERE
    while data := await reader.read(65536):
        BYTES_ELSEWHERE += len(data)
    writer.close()


async def main() -> None:
    """Serve on two free ports and print them."""
    other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    PORTS["elsewhere"] = other.sockets[0].getsockname()[1]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server, other:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
