"""An OpenAI-compatible server on loopback that answers at once, validly and grounded, in a process of its own.

    python benchmarks/model_server.py      prints its port, then serves until it is stopped

It speaks just enough HTTP/1.1 over raw sockets that the client, not this server, is what is measured.
`GET /_delay/200` makes it think for 200 ms over each answer from then on.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LABELS = {"urgency": "high", "issue_type": "billing_payment", "escalation": "billing_payment", "sentiment": "negative"}


_delay_s = 0.0


def answer(quote: str, asked: Iterable[str] = LABELS) -> str:
    """Return what a model would say of a ticket, with a quote out of it: about half a kilobyte."""
    said = {
        name: {"quote": quote, "reason": "The customer says that money is wrong.", "label": label, "confidence": 0.9}
        for name, label in LABELS.items()
        if name in asked
    }
    said["urgency"]["factor"] = "impact"
    return json.dumps({**said, "secondary_issues": []})


def reply(body: bytes) -> bytes:
    """Return a whole HTTP response to a chat completion request, or to anything else."""
    request = json.loads(body) if body else {}
    schema = request.get("response_format", {}).get("json_schema", {}).get("schema", {})
    question = request.get("messages", [{"content": ""}])[-1]["content"]
    ticket = json.loads(question) if question.startswith("{") else {}
    said = answer(ticket.get("body", "")[:40], schema.get("properties", LABELS))
    completion = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "made-up-1",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                     "message": {"role": "assistant", "content": said, "refusal": None}}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 120, "total_tokens": 1320,
                  "prompt_tokens_details": {"cached_tokens": 1024}},
    }  # fmt: skip
    data = json.dumps(completion).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def set_delay(path: str) -> None:
    """Think for so long over each answer, if the path says so."""
    global _delay_s
    if path.startswith("/_delay/"):
        _delay_s = float(path.rpartition("/")[2]) / 1000


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests until it is closed."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            data = await reader.readexactly(size)
            set_delay(head.split(b" ", 2)[1].decode())
            if _delay_s and data:
                await asyncio.sleep(_delay_s)
            writer.write(reply(data))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve on a free port and say which."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def think(base_url: str, milliseconds: float) -> None:
    """Make a running server think for so long over each answer."""
    with urllib.request.urlopen(f"{base_url.removesuffix('/v1')}/_delay/{milliseconds:g}"):
        return


@contextmanager
def running() -> Iterator[str]:
    """Run the server in a process of its own; give its base URL."""
    child = subprocess.Popen([sys.executable, str(Path(__file__).resolve())], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{child.stdout.readline().strip()}/v1"
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
