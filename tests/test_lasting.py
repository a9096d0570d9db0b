"""What lasts is left out of garbage collection while a desk is open, and only then."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from desk_parts import settings
from triagedesk.desk import open_desk
from triagedesk.lasting import lasting


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_exists_is_left_out_until_the_last_block_ends() -> None:
    gc.collect()
    with lasting():
        first = gc.get_freeze_count()
        kept = [[] for _ in range(10_000)]  # type: ignore[var-annotated]
        with lasting():
            assert gc.get_freeze_count() >= first + len(kept) > len(kept)
        assert gc.get_freeze_count() >= first
    assert gc.get_freeze_count() == 0


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), lasting():
        raise ZeroDivisionError
    assert gc.get_freeze_count() == 0


def test_a_process_that_froze_things_itself_is_left_alone() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    with lasting():
        pass
    assert gc.get_freeze_count() == before > 0


def test_a_desk_with_a_model_leaves_its_patterns_and_clients_out(tmp_path: Path) -> None:
    async def count() -> int:
        asked = settings(model="openai/any", base_url="http://127.0.0.1:9/v1", api_key="none", cache_dir=tmp_path)
        async with open_desk(asked):
            return gc.get_freeze_count()

    assert anyio.run(count) > 100_000
    assert gc.get_freeze_count() == 0
