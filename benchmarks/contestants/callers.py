"""One structured call, as users of each library would write it. Run by calls.py: `callers.py NAME CONFIG.json`.

Every contestant sends the same messages (system prompt, worked examples, one ticket as JSON) to the same mock server
and ends with a validated answer. `desk` is the whole of triagedesk; `asking` its call and cache without the rules.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", OPENAI_API_KEY="none", LANGSMITH_TRACING="false")

from contest import Stopwatch, Turn, play

Ask = Callable[[str], Awaitable[object]]
Message = dict[str, str]
SETTLE_S = 0.05
"""How long a turn waits for a thread that still writes: its CPU belongs to the turn."""

LIMIT = 700
_HELD = AsyncExitStack()
"""What stays open until the process is ended."""


def answer_model(labels: dict[str, list[str]]) -> Any:
    """Return the answer as a user would write it: a pydantic model with one nested model a dimension."""
    from pydantic import create_model

    fields: dict[str, Any] = {}
    for name, names in labels.items():
        said: dict[str, Any] = {
            "quote": (str, ...), "reason": (str, ...), "label": (Literal[tuple(names)], ...),
            "confidence": (float, ...),
        }  # fmt: skip
        if name == "urgency":
            said["factor"] = (Literal["impact", "customer_value", "time"], ...)
        fields[name] = (create_model(f"Said_{name}", **said), ...)
    fields["secondary_issues"] = (list[Literal[tuple(labels["issue_type"])]], ...)  # type: ignore[misc]
    return create_model("Triage", **fields)


def _openai(config: Turn) -> Any:
    import openai

    return openai.AsyncOpenAI(base_url=config["base_url"], api_key="none")


def _messages(config: Turn, question: str) -> list[Message]:
    return [*config["static"], {"role": "user", "content": question}]


def _body(config: Turn, schema: Any, question: str) -> Turn:
    held = {"type": "json_schema", "json_schema": {"name": "Triage", "schema": schema, "strict": True}}
    return {
        "model": "made-up-1", "messages": _messages(config, question), "temperature": 0.0, "max_tokens": LIMIT,
        "response_format": held,
    }  # fmt: skip


async def sockets(config: Turn, model: Any) -> Ask:
    """The floor: HTTP/1.1 by hand, JSON, one validation."""
    schema, free = model.model_json_schema(), []
    port = int(config["base_url"].split(":")[2].split("/")[0])

    async def ask(question: str) -> object:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        data = json.dumps(_body(config, schema, question)).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        head = await reader.readuntil(b"\r\n\r\n")
        reply = json.loads(await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])))
        free.append((reader, writer))
        return model.model_validate_json(reply["choices"][0]["message"]["content"])

    return ask


async def sdk_post(config: Turn, model: Any) -> Ask:
    """The SDK's public `post`, the reply read by hand."""
    import httpx2

    client, schema = _openai(config), model.model_json_schema()

    async def ask(question: str) -> object:
        body = _body(config, schema, question)
        reply = (await client.post("/chat/completions", body=body, cast_to=httpx2.Response)).json()
        return model.model_validate_json(reply["choices"][0]["message"]["content"])

    return ask


async def sdk_create(config: Turn, model: Any) -> Ask:
    """The raw SDK: `chat.completions.create`, then one validation."""
    client, schema = _openai(config), model.model_json_schema()

    async def ask(question: str) -> object:
        done = await client.chat.completions.create(**_body(config, schema, question))
        return model.model_validate_json(done.choices[0].message.content)

    return ask


async def sdk_parse(config: Turn, model: Any) -> Ask:
    """The SDK's own structured call."""
    client = _openai(config)

    async def ask(question: str) -> object:
        done = await client.chat.completions.parse(
            model="made-up-1", messages=_messages(config, question), response_format=model, temperature=0.0,
            max_tokens=LIMIT,
        )  # fmt: skip
        return done.choices[0].message.parsed

    return ask


async def instructor(config: Turn, model: Any) -> Ask:
    """instructor as its documentation shows it, in the mode for JSON schemas."""
    import instructor as library

    client = library.from_openai(_openai(config), mode=library.Mode.JSON_SCHEMA)

    async def ask(question: str) -> object:
        return await client.chat.completions.create(
            model="made-up-1", messages=_messages(config, question), response_model=model, temperature=0.0,
            max_tokens=LIMIT,
        )  # fmt: skip

    return ask


async def langchain(config: Turn, model: Any) -> Ask:
    """ChatOpenAI.with_structured_output."""
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        model="made-up-1", base_url=config["base_url"], api_key="none", temperature=0.0, max_tokens=LIMIT
    ).with_structured_output(model, method="json_schema")

    async def ask(question: str) -> object:
        return await chat.ainvoke(_messages(config, question))

    return ask


async def litellm(config: Turn, model: Any) -> Ask:
    """litellm.acompletion, then one validation."""
    import litellm as library

    async def ask(question: str) -> object:
        done = await library.acompletion(
            model="openai/made-up-1", messages=_messages(config, question), response_format=model, temperature=0.0,
            max_tokens=LIMIT, api_base=config["base_url"], api_key="none",
        )  # fmt: skip
        return model.model_validate_json(done.choices[0].message.content)

    return ask


async def pydantic_ai(config: Turn, model: Any) -> Ask:
    """An Agent with native structured output; the worked examples are its message history."""
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    chat = OpenAIChatModel("made-up-1", provider=OpenAIProvider(openai_client=_openai(config)))
    system, *turns = config["static"]
    agent = Agent(
        chat, output_type=NativeOutput(model), instructions=system["content"],
        model_settings={"temperature": 0.0, "max_tokens": LIMIT},
    )  # fmt: skip
    history = [
        ModelRequest(parts=[UserPromptPart(turn["content"])]) if turn["role"] == "user"
        else ModelResponse(parts=[TextPart(turn["content"])])
        for turn in turns
    ]  # fmt: skip

    async def ask(question: str) -> object:
        return (await agent.run(question, message_history=history)).output

    return ask


async def _open_desk(config: Turn) -> Any:
    from made_up import compile_all

    from triagedesk.desk import open_desk
    from triagedesk.settings import Settings

    settings = Settings(
        model="openai/made-up-1", base_url=config["base_url"], api_key="none", cache_dir=Path(config["folder"]),
        max_concurrency=64, breaker_failures=10_000, deadline_s=60.0,
    )  # fmt: skip
    desk = await _HELD.enter_async_context(open_desk(settings))
    compile_all(desk.playbook)
    return desk


async def desk(config: Turn, model: Any) -> Ask:  # noqa: ARG001
    """The whole of triagedesk: a ticket never seen, to the answer in its cache."""
    from triagedesk.models import Source, Ticket

    opened = await _open_desk(config)

    async def ask(question: str) -> object:
        suggestion = await opened.suggest(Ticket(id="T-1", body=json.loads(question)["body"]))
        if suggestion.provenance.source is not Source.MODEL:
            raise RuntimeError(f"no model answer: {suggestion.provenance}")
        return suggestion

    return ask


async def asking(config: Turn, model: Any) -> Ask:  # noqa: ARG001
    """triagedesk without reading, redaction and rules: the question to the model, through its cache."""
    from triagedesk.budget import Budget

    opened = await _open_desk(config)

    async def ask(question: str) -> object:
        door = opened._asking
        return (await door.ask(door.question("", json.loads(question)["body"] + " (asking)"), Budget(60.0))).answer

    return ask


CONTESTANTS: dict[str, Callable[[Turn, Any], Awaitable[Ask]]] = {
    each.__name__: each
    for each in (sockets, sdk_post, sdk_create, sdk_parse, instructor, langchain, litellm, pydantic_ai, desk, asking)
}


async def _many(ask: Ask, questions: Iterator[str], calls: int, width: int) -> list[float]:
    waited: list[float] = []

    async def worker() -> None:
        for _ in range(calls // width):
            question, began = next(questions), time.perf_counter()
            if await ask(question) is None:
                raise RuntimeError("no answer")
            waited.append(time.perf_counter() - began)

    await asyncio.gather(*(worker() for _ in range(width)))
    return waited


async def _turn(ask: Ask, questions: Iterator[str], turn: Turn) -> Turn:
    await _many(ask, questions, turn["width"], turn["width"])  # connections that idled too long are opened anew
    watch = Stopwatch()
    waited = sorted(await _many(ask, questions, turn["calls"], turn["width"]))
    wall = watch.per(turn["calls"])["wall_us"]
    await asyncio.sleep(SETTLE_S)
    spent = {**watch.per(turn["calls"]), "wall_us": wall}
    return {**spent, "p50_ms": waited[len(waited) // 2] * 1e3, "p95_ms": waited[len(waited) * 95 // 100] * 1e3}


def told(file: str) -> Turn:
    """Read what contestants are told."""
    config: Turn = json.loads(Path(file).read_text("utf-8"))
    return config


def _questions(config: Turn) -> Iterator[str]:
    return itertools.cycle(Path(config["questions"]).read_text("utf-8").splitlines())


async def _prepare(name: str, file: str) -> Callable[[Turn], Awaitable[Turn]]:
    config = told(file)
    questions = _questions(config)
    ask = await CONTESTANTS[name](config, answer_model(config["labels"]))
    await _many(ask, questions, 2, 1)
    return partial(_turn, ask, questions)


if __name__ == "__main__":
    asyncio.run(play(partial(_prepare, *sys.argv[1:3])))
