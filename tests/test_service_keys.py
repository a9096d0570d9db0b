"""API keys: what proves them, what they may do, how often, and for how much money; and the service's settings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from service_store_parts import KINDS, NOON, Clock, database_of, in_store, suggestion
from triagedesk.cli import keys as keys_cli
from triagedesk.errors import ConfigError, TicketError
from triagedesk.service.keys import (
    KeyGate,
    KeyProblem,
    KeyRefused,
    RateLimiter,
    base62,
    bearer,
    create_key,
    new_secret,
    verify_key,
)
from triagedesk.service.settings import ServiceSettings
from triagedesk.service.store.database import Store
from triagedesk.service.store.records import ApiKey, Entry, Scope

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'service.db'}"


async def refusal(store: Store, secret: str | None) -> KeyProblem:
    with pytest.raises(KeyRefused) as refused:
        await verify_key(store.keys, secret)
    return refused.value.problem


def gate(store: Store, clock: Clock, *, rate_per_s: float = 1000, burst: int = 1000) -> KeyGate:
    limiter = RateLimiter(rate_per_s, burst, clock=lambda: clock.now.timestamp())
    return KeyGate(store.keys, limiter, now=clock)


def test_a_key_proves_itself_until_it_is_revoked(url: str) -> None:
    async def work(store: Store) -> None:
        assert not await store.keys.any_usable()
        made = await create_key(store.keys, " billing  bot ", ["suggest", "read"], daily_budget_usd=0.25, now=NOON)
        assert await store.keys.any_usable()
        found = await verify_key(store.keys, made.secret)
        assert found == made.key
        assert (found.name, found.scopes, found.daily_budget_usd, found.created_at, found.revoked_at) == (
            "billing bot", frozenset({Scope.SUGGEST, Scope.READ}), 0.25, NOON, None,
        )  # fmt: skip
        assert await store.keys.revoke(found.id, NOON + timedelta(days=1))
        assert not await store.keys.revoke(found.id, NOON + timedelta(days=2))
        assert not await store.keys.revoke("k_none", NOON)
        assert await refusal(store, made.secret) is KeyProblem.REVOKED
        assert [key.revoked_at for key in await store.keys.all()] == [NOON + timedelta(days=1)]
        assert not await store.keys.any_usable()

    in_store(url, work)


def test_nothing_but_the_whole_key_proves_it(url: str) -> None:
    async def work(store: Store) -> None:
        made = await create_key(store.keys, "a", ["admin"], now=NOON)
        await store.keys.revoke(made.key.id, NOON)
        for place in range(len(made.secret)):
            other = next(sign for sign in "xy" if sign != made.secret[place])
            changed = made.secret[:place] + other + made.secret[place + 1 :]
            assert await refusal(store, changed) is KeyProblem.UNKNOWN
        for wrong in (
            made.secret + "0", made.secret[:-1], made.secret[4:], " " + made.secret, made.secret + "\n", "tdk_",
            "tdk_" + "é" * 43, "\ud800", "x" * 100_000, "tdk_" + made.secret, "tdk_" * 11 + "xyz", "\x00" * 47,
        ):  # fmt: skip
            assert await refusal(store, wrong) is KeyProblem.UNKNOWN
        for nothing in (None, ""):
            assert await refusal(store, nothing) is KeyProblem.MISSING

    in_store(url, work)


def test_keys_that_begin_alike_are_told_apart(url: str) -> None:
    async def work(store: Store) -> None:
        made = await create_key(store.keys, "a", ["read"], now=NOON)
        twin = made.secret[:-1] + ("0" if made.secret[-1] != "0" else "1")
        assert await refusal(store, twin) is KeyProblem.UNKNOWN

    in_store(url, work)


def test_ten_thousand_made_up_keys_prove_nothing(file_url: str) -> None:
    """Those that begin as the real one does reach the comparison; the database is asked for one in fifty."""
    draw = random.Random(4)

    async def work(store: Store) -> None:
        real = (await create_key(store.keys, "a", ["admin"], now=NOON)).secret
        kept = await store.keys.by_prefix(real[4:12])

        class Remembered:
            async def by_prefix(self, prefix: str) -> object:
                return kept if prefix == real[4:12] else []

        for number in range(10_000):
            made_up = real[:12] + "".join(draw.choices(DIGITS, k=35)) if number % 2 else new_secret()
            with pytest.raises(KeyRefused):
                await verify_key(store.keys if number % 50 == 0 else Remembered(), made_up)  # type: ignore[arg-type]

    in_store(file_url, work)


def test_the_database_never_holds_a_key(file_url: str, tmp_path: Path) -> None:
    async def work(store: Store) -> str:
        made = await create_key(store.keys, "a", ["admin"], now=NOON)
        assert made.secret not in repr(made)

        def everything(connection: Connection) -> str:
            return repr(connection.execute(text("SELECT * FROM api_keys")).all())

        assert made.secret[12:] not in await store.database.read(everything)
        return made.secret

    secret = in_store(file_url, work)
    for file in tmp_path.iterdir():
        assert secret[12:].encode() not in file.read_bytes()


@given(st.binary(min_size=32, max_size=32))
def test_base_62_loses_nothing(data: bytes) -> None:
    written = base62(data)
    number = 0
    for sign in written:
        number = number * 62 + DIGITS.index(sign)
    assert len(written) == 43
    assert number.to_bytes(32, "big") == data


def test_the_largest_number_fits() -> None:
    assert len(base62(b"\xff" * 32)) == 43
    assert len({new_secret() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "scopes", "budget"),
    [
        ("", ["read"], None), ("x" * 101, ["read"], None), ("a\x1b[2J", ["read"], None), ("a", [], None),
        ("a", ["root"], None), ("a", ["read", "READ"], None), ("a", ["read"], -1.0), ("a", ["read"], float("nan")),
        ("a", ["read"], float("inf")),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_is_refused(file_url: str, name: str, scopes: list[str], budget: float | None) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(TicketError, match=r"^(name|scope|budget): "):
            await create_key(store.keys, name, scopes, daily_budget_usd=budget, now=NOON)
        assert await store.keys.all() == []

    in_store(file_url, work)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_may_do_what_its_scope_says_and_admin_may_do_everything(file_url: str, scope: Scope) -> None:
    async def work(store: Store) -> None:
        made = await create_key(store.keys, "a", [scope], now=NOON)
        for wanted in Scope:
            if wanted is scope or scope is Scope.ADMIN:
                assert await gate(store, Clock()).admit(made.secret, wanted) == made.key
                continue
            with pytest.raises(KeyRefused) as refused:
                await gate(store, Clock()).admit(made.secret, wanted)
            assert refused.value.problem is KeyProblem.SCOPE

    in_store(file_url, work)


def test_the_bucket_gives_a_burst_then_the_rate() -> None:
    clock = [0.0]
    limiter = RateLimiter(2.0, 3, clock=lambda: clock[0])
    assert [limiter.take("k") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.take("other") == 0
    clock[0] = 0.5
    assert [limiter.take("k"), limiter.take("k")] == [0, 0.5]
    clock[0] = 1e9
    assert [limiter.take("k") for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_batch_larger_than_the_bucket_is_taken_when_it_is_full_and_owed_for() -> None:
    clock = [0.0]
    limiter = RateLimiter(10.0, 100, clock=lambda: clock[0])
    assert limiter.take("k", 1000) == 0
    assert limiter.take("k") == pytest.approx(90.1)
    assert limiter.take("k", 1000) == pytest.approx(100)
    clock[0] = 90.1
    assert limiter.take("k") == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=60))
def test_the_bucket_never_gives_more_than_burst_and_rate_allow_and_its_waits_are_long_enough(
    calls: list[tuple[float, int]],
) -> None:
    now, given_out = 0.0, 0
    clock = [0.0]
    limiter = RateLimiter(1.5, 4, clock=lambda: clock[0])
    for pause, tokens in calls:
        now += pause
        clock[0] = now
        wait = limiter.take("k", tokens)
        if wait:
            now += wait
            clock[0] = now
            assert limiter.take("k", tokens) == 0
        given_out += tokens
        assert given_out <= 4 + 1.5 * now + 1e-6


def test_the_limiter_remembers_a_bounded_number_of_keys_and_a_clock_that_goes_back_harms_nothing() -> None:
    clock = [100.0]
    limiter = RateLimiter(1.0, 1, clock=lambda: clock[0], max_keys=10)
    assert [limiter.take(str(n)) for n in range(1000)] == [0] * 1000
    clock[0] = 0.0
    assert 0 < limiter.take("999") <= 1


def test_a_key_that_asks_too_fast_is_told_when_to_come_back(file_url: str) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        made = await create_key(store.keys, "a", ["suggest"], now=NOON)
        door = gate(store, clock, rate_per_s=0.5, burst=1)
        await door.admit(made.secret, Scope.SUGGEST)
        with pytest.raises(KeyRefused) as refused:
            await door.admit(made.secret, Scope.SUGGEST)
        assert refused.value.problem is KeyProblem.RATE
        assert refused.value.retry_after_s == pytest.approx(2)
        clock.pass_s(2)
        await door.admit(made.secret, Scope.SUGGEST)

    in_store(file_url, work)


def test_a_key_whose_money_is_spent_waits_for_midnight(url: str) -> None:
    clock = Clock(NOON + timedelta(hours=11))

    async def work(store: Store) -> None:
        door = gate(store, clock)
        made = await create_key(store.keys, "a", ["suggest"], daily_budget_usd=0.001, now=NOON)
        free = await create_key(store.keys, "b", ["suggest"], now=NOON)

        async def answered(key: ApiKey, usd: float, number: int) -> None:
            await store.ledger.keep(Entry(suggestion(number), spent=door.bill(key, usd)))

        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(answered, made.key, 0.0001, number)
        await answered(free.key, 5.0, 9)
        for nothing in (None, 0.0, -1.0, float("nan")):
            assert door.bill(made.key, nothing) is None
        await door.admit(made.secret, Scope.SUGGEST, spends=True)
        await answered(made.key, 0.0001, 10)
        with pytest.raises(KeyRefused) as refused:
            await door.admit(made.secret, Scope.SUGGEST, spends=True)
        assert refused.value.problem is KeyProblem.BUDGET
        assert refused.value.retry_after_s == 3600
        await door.admit(made.secret, Scope.SUGGEST)  # what costs nothing goes on
        await door.admit(free.secret, Scope.SUGGEST, spends=True)
        clock.pass_s(3600)
        await door.admit(made.secret, Scope.SUGGEST, spends=True)

    in_store(url, work, now=clock)


def test_money_that_many_spend_at_once_is_counted_to_the_last_bit(url: str) -> None:
    async def work(store: Store) -> None:
        made = await create_key(store.keys, "a", ["suggest"], now=NOON)

        async def spend() -> None:
            for _ in range(5):
                await store.keys.spend(made.key.id, "2026-11-22", 0.0004)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(spend)
        assert await store.keys.spent(made.key.id, "2026-11-22") == 0.016
        assert await store.keys.spent(made.key.id, "2026-11-23") == 0

    in_store(url, work)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer abc", "abc"), ("bearer  abc ", "abc"), (None, None), ("", None), ("Bearer", None), ("Bearer ", None),
        ("Basic abc", None), ("abc", None),
    ],
)  # fmt: skip
def test_a_key_is_read_from_its_header(header: str | None, found: str | None) -> None:
    assert bearer(header) == found


def test_the_status_of_every_refusal_is_known() -> None:
    assert {problem.value: problem.status for problem in KeyProblem} == {
        "key_missing": 401, "key_unknown": 401, "key_revoked": 401, "scope_missing": 403, "rate_limited": 429,
        "budget_spent": 429,
    }  # fmt: skip


def test_keys_are_made_listed_and_revoked_from_the_command_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys_cli.show(database=url) == 0
    assert "no keys" in capsys.readouterr().err
    assert keys_cli.create("bot", ["suggest"], budget=2.5, database=url) == 0
    made = capsys.readouterr()
    (secret,) = made.out.splitlines()
    in_store(url, lambda store: verify_key(store.keys, secret))
    key_id = made.err.split()[1]
    assert secret not in made.err

    assert keys_cli.show(database=url) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:3] == [key_id, "usable", "suggest"]
    assert "0.0000 of 2.5 USD today" in line
    assert secret[:12] not in line

    assert keys_cli.revoke(key_id, database=url) == 0
    keys_cli.show(database=url)
    assert "revoked 20" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="keys list"):
        keys_cli.revoke(key_id, database=url)
    with pytest.raises(TicketError, match="scope"):
        keys_cli.create("bot", ["everything"], database=url)


def test_settings_come_from_the_environment_and_what_is_given_wins() -> None:
    environ = {
        "TRIAGEDESK_SERVICE_PORT": "9000", "TRIAGEDESK_SERVICE_HOST": "0.0.0.0",
        "TRIAGEDESK_SERVICE_DATABASE_URL": "postgresql://u:canary@h/x", "TRIAGEDESK_SERVICE_WRITE_BACK": "false",
    }  # fmt: skip
    made = ServiceSettings.from_env(environ, port=9001, host=None)
    assert (made.port, made.host, made.write_back) == (9001, "0.0.0.0", False)
    assert made.database_url.get_secret_value().endswith("@h/x")
    assert "canary" not in repr(made) + made.model_dump_json()


@pytest.mark.parametrize("name", ["PORT", "MAX_CONCURRENCY", "RATE_PER_MINUTE", "SHUTDOWN_S"])
def test_a_setting_that_cannot_be_is_named_and_not_repeated(name: str) -> None:
    for wrong in ("canary", "-1", "1e999", "NaN"):
        with pytest.raises(ConfigError, match=f"service settings: {name.lower()}: ") as refused:
            ServiceSettings.from_env({f"TRIAGEDESK_SERVICE_{name}": wrong})
        assert "canary" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__context__ is None


def test_the_default_database_lives_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert ServiceSettings.from_env({}).database_url.get_secret_value() == "sqlite:////data/triagedesk/service.db"


@pytest.mark.parametrize(
    ("host", "closed"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
        ("::", False), ("10.0.0.1", False), ("desk.example", False), ("127.0.0.1.example", False),
    ],
)  # fmt: skip
def test_only_loopback_counts_as_closed(host: str, closed: bool) -> None:
    assert ServiceSettings(host=host).on_loopback is closed
