"""The MCP door, as assistants meet it: a child process on stdio, HTTP on loopback, and the SDK's own client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from desk_parts import default_playbook
from service_store_parts import in_store, suggestion
from triagedesk.desk import Desk
from triagedesk.mcp import Tools, build_server, explained
from triagedesk.models import Choice, Classification, Ticket
from triagedesk.settings import Settings

MAIN = (
    "from triagedesk.cli import main; from triagedesk.cli.app import app; from triagedesk.cli.mcp import attach; "
    "attach(app); raise SystemExit(main())"
)
TWICE = "I was charged twice for order 881 and want my money back."
Session = Callable[[Client], Awaitable[None]]


def _environment(**more: str) -> dict[str, str]:
    """What a child needs to find the package, and no key."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {"PYTHONPATH": path, "PATH": os.environ["PATH"], "XDG_DATA_HOME": f"{os.devnull}/none", **more}


def _over_stdio(session: Session, errors: Path, *, mode: str) -> None:
    """Run a session against `triagedesk mcp` in a child process, whose stderr goes to a file."""
    child = StdioServerParameters(
        command=sys.executable, args=["-c", MAIN, "mcp", "--model", "rules"], env=_environment(TRIAGEDESK_LOG="json")
    )

    async def go(stream: TextIO) -> None:
        with anyio.fail_after(30):
            async with Client(stdio_client(child, errlog=stream), mode=mode) as client:
                await session(client)

    with errors.open("w", encoding="utf-8") as stream:
        anyio.run(go, stream)


def _text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def test_an_assistant_classifies_and_asks_why_over_stdio(tmp_path: Path) -> None:
    async def session(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"classify", "explain"}
        ticket = tools["classify"].input_schema["properties"]["ticket"]
        assert "live_chat" in ticket["properties"]["channel"]["enum"]
        done = await client.call_tool("classify", {"ticket": {"id": "T-1", "body": TWICE, "channel": "email"}})
        assert not done.is_error
        assert done.structured_content["ticket_id"] == "T-1"
        assert done.structured_content["labels"]["issue_type"]["label"] == "billing_payment"
        why = await client.call_tool("explain", {"ticket": TWICE})
        urgency = why.structured_content["labels"]["urgency"]
        assert urgency["opinions"]["rules"]["label"] == urgency["label"] == "high"
        assert urgency["opinions"]["model"] is None
        assert urgency["reasons"][0]["quote"] in TWICE

    _over_stdio(session, tmp_path / "stderr", mode="legacy")


def test_what_is_wrong_is_said_in_one_line_and_the_server_goes_on(tmp_path: Path) -> None:
    errors = tmp_path / "stderr"

    async def session(client: Client) -> None:
        wrong: list[dict[str, Any]] = [
            {}, {"ticket": {}}, {"ticket": {"body": "canary", "channel": "pigeon"}}, {"ticket": []},
            {"ticket": {"body": "canary"}, "more": "canary"}, {"ticket": {"body": "canary", "due_at": "canary"}},
        ]  # fmt: skip
        for arguments in wrong:
            result = await client.call_tool("classify", arguments)
            assert result.is_error
            assert "canary" not in _text(result)
            assert "\n" not in _text(result)
        assert _text(await client.call_tool("classify", wrong[2])).startswith("channel: unknown value; this playbook")
        with pytest.raises(MCPError, match="needs a store"):
            await client.call_tool("search_suggestions", {"query": "x"})
        with pytest.raises(MCPError, match="no such tool; there are classify, explain"):
            await client.call_tool("delete", {})
        assert not (await client.call_tool("classify", {"ticket": "canary " + TWICE})).is_error

    _over_stdio(session, errors, mode="auto")
    written = errors.read_text("utf-8")
    assert "suggested" in written
    assert "canary" not in written


def test_it_ends_when_the_client_closes_its_input_and_writes_nothing_but_messages() -> None:
    child = subprocess.run([sys.executable, "-c", MAIN, "mcp", "--model", "rules"], input=b"not json\n\n{}\n",
                           capture_output=True, timeout=15, check=False, env=_environment())  # fmt: skip
    assert (child.returncode, child.stdout) == (0, b"")
    assert b"Traceback" not in child.stderr


def test_a_broken_playbook_is_said_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("playbook: [", "utf-8")
    child = subprocess.run([sys.executable, "-c", MAIN, "mcp", "--playbook", str(tmp_path / "bad.yaml")], input=b"",
                           capture_output=True, timeout=15, check=False, env=_environment())  # fmt: skip
    assert (child.returncode, child.stdout) == (2, b"")
    assert child.stderr.startswith(b"error: ")


def test_past_suggestions_of_the_service_are_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'service.db'}"
    said = {
        "labels": {"issue_type": {"label": "billing_payment", "reasons": [{"text": "Paid twice.", "quote": "twice"}]}}
    }
    in_store(url, lambda store: store.suggestions.add(suggestion(1, suggestion=said), suggestion(2, ticket_id="T-2")))
    child = StdioServerParameters(
        command=sys.executable, args=["-c", MAIN, "mcp", "--model", "rules", "--database", url], env=_environment()
    )

    async def go() -> None:
        with anyio.fail_after(30):
            async with Client(stdio_client(child), mode="auto") as client:
                found = await client.call_tool("search_suggestions", {"query": "TWICE billing"})
                (one,) = found.structured_content["suggestions"]
                assert (one["ticket_id"], one["labels"]) == ("T-1", {"issue_type": "billing_payment"})

    anyio.run(go)


def test_a_database_that_is_not_there_is_named() -> None:
    child = subprocess.run([sys.executable, "-c", MAIN, "mcp", "--model", "rules", "--database", "sqlite:////none.db"],
                           input=b"", capture_output=True, timeout=15, check=False, env=_environment())  # fmt: skip
    assert (child.returncode, child.stdout) == (2, b"")
    assert child.stderr.startswith(b"error: database: there is no such file")


def test_a_database_that_is_none_of_ours_or_does_not_answer_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("no database at all, but a file that somebody named")
    (tmp_path / "empty.db").touch()
    for url in (
        f"sqlite:///{tmp_path / 'other.db'}", f"sqlite:///{tmp_path / 'empty.db'}", "postgresql://nobody@127.0.0.1:9/none",
    ):  # fmt: skip
        child = subprocess.run([sys.executable, "-c", MAIN, "mcp", "--model", "rules", "--database", url], input=b"",
                               capture_output=True, timeout=30, check=False, env=_environment())  # fmt: skip
        assert (child.returncode, child.stdout) == (2, b"")
        assert child.stderr.startswith(b"error: database: no suggestions can be read there")
        assert b"Traceback" not in child.stderr


# --- HTTP -------------------------------------------------------------------------------------------------------------


@contextmanager
def _served() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start `triagedesk mcp --http` and yield it with its address."""
    child = subprocess.Popen([sys.executable, "-c", MAIN, "mcp", "--http", "--port", "0", "--model", "rules"],
                             stderr=subprocess.PIPE, env=_environment())  # fmt: skip
    assert child.stderr is not None
    try:
        line = child.stderr.readline().decode()
        yield child, next(word.rstrip(",") for word in line.split() if word.startswith("http://127.0.0.1:"))
    finally:
        child.kill()
        child.wait(5)
        child.stderr.close()


async def _declared(length: int, port: int) -> bytes:
    """Say how large a body will be, send none, and return the status that comes back."""
    async with await anyio.connect_tcp("127.0.0.1", port) as line:
        head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n"
        await line.send(head.encode())
        return (await line.receive())[9:12]


def test_over_http_both_ages_of_clients_are_served_and_strangers_are_not() -> None:
    async def go(url: str) -> None:
        with anyio.fail_after(15):
            for mode in ("legacy", "auto"):
                async with Client(url, mode=mode) as client:
                    done = await client.call_tool("classify", {"ticket": {"body": TWICE}})
                    assert done.structured_content["labels"]["urgency"]["label"] == "high"
            async with httpx2.AsyncClient(trust_env=False) as web:
                good = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
                for headers, status in (
                    ({"host": "evil.example"}, 421),
                    ({"origin": "https://evil.example"}, 403),
                ):
                    reply = await web.post(url, content=b"{}", headers={**good, **headers})
                    assert reply.status_code == status
        assert await _declared(17 * 1024 * 1024, int(url.rpartition(":")[2].partition("/")[0])) == b"413"

    with _served() as (child, url):
        anyio.run(go, url)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        assert child.stderr is not None
        assert b"Traceback" not in child.stderr.read()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        child = subprocess.run([sys.executable, "-c", MAIN, "mcp", "--http", "--port", port, "--model", "rules"],
                               capture_output=True, timeout=15, check=False, env=_environment())  # fmt: skip
    assert child.returncode == 2
    assert f"port {port}".encode() in child.stderr


# --- In this process --------------------------------------------------------------------------------------------------


def _tools(search: Any = None) -> Tools:
    return Tools(Desk(Settings(model="rules"), default_playbook()), search)


async def _found(query: str, limit: int) -> Sequence[dict[str, Any]]:
    assert (query, limit) == ("tills", 2)
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return [{"id": f"s_{number}", "created_at": at, "cost": float("nan")} for number in range(5)]


def test_an_explanation_shows_where_rules_and_model_differ() -> None:
    ticket = Ticket(body=TWICE)
    by_rules = anyio.run(Desk(Settings(model="rules"), default_playbook()).consider, ticket)
    said = Classification(labels={"urgency": Choice(label="medium", confidence=0.7)})
    shown = explained(replace(by_rules, model=said))
    opinions = shown["labels"]["urgency"]["opinions"]
    assert (opinions["rules"]["label"], opinions["model"]["label"]) == ("high", "medium")
    assert shown["labels"]["issue_type"]["opinions"]["model"] is None
    assert "confidence_kind" in shown["labels"]["urgency"]


def test_past_suggestions_are_searched_where_there_is_a_store() -> None:
    async def go() -> None:
        async with Client(build_server(Desk(Settings(model="rules"), default_playbook()), _found)) as client:
            assert "search_suggestions" in {tool.name for tool in (await client.list_tools()).tools}
            done = await client.call_tool("search_suggestions", {"query": " tills ", "limit": 2})
            assert [one["id"] for one in done.structured_content["suggestions"]] == ["s_0", "s_1"]
            assert done.structured_content["suggestions"][0]["created_at"] == "2026-11-23T00:00:00Z"

    anyio.run(go)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"query": " "}, {"query": "x" * 501}, {"query": "x", "limit": 0}, {"query": "x", "limit": 51},
     {"query": "x", "limit": True}, {"query": "x", "limit": "5"}, {"query": "x", "key": "y"}],
)  # fmt: skip
def test_a_search_for_nothing_is_refused(arguments: dict[str, Any]) -> None:
    result = anyio.run(_tools(_found).call, "search_suggestions", arguments)
    assert result.is_error


def test_a_store_that_breaks_is_an_answer_and_its_message_stays_here(capfd: pytest.CaptureFixture[str]) -> None:
    async def broken(query: str, limit: int) -> Sequence[dict[str, Any]]:
        raise RuntimeError("canary: password in the address")

    result = anyio.run(_tools(broken).call, "search_suggestions", {"query": "x"})
    assert _text(result) == "unexpected RuntimeError; the desk's own log says more"
    assert "canary" not in "".join(capfd.readouterr())


def test_what_cannot_be_written_as_json_is_an_answer_too() -> None:
    async def lone_surrogate(query: str, limit: int) -> Sequence[dict[str, Any]]:
        return [{"id": "\ud800"}]

    assert anyio.run(_tools(lone_surrogate).call, "search_suggestions", {"query": "x"}).is_error
