"""The Ray cluster that a batch runs on: the one named, or a small one of this machine's own for as long as it lasts."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from triagedesk.errors import ConfigError

STORE_BYTES = 512 * 1024 * 1024
"""Ray's shared memory in a cluster of our own: blocks are small, and Ray would take a third of the machine's memory."""

CONNECT_S = 5.0


def require_ray() -> None:
    """Raise ConfigError that names the extra if Ray Data is not installed."""
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise ConfigError("--engine ray needs Ray: pip install 'triagedesk[ray]'")


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster. `address` is host:port, "auto", or None for RAY_ADDRESS, else one of our own.

    A program that is connected already stays so. Raises ConfigError if no cluster answers.
    """
    require_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports home what it runs on
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # or it talks to a user who cannot do anything about it
    with _hushed():
        import ray
    if ray.is_initialized():
        yield
        return
    _start(address or os.environ.get("RAY_ADDRESS") or "local")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Ray prints that a worker died
            yield
    finally:
        ray.shutdown()


def _start(address: str) -> None:
    import ray

    more: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    _must_answer(address)
    try:
        with _hushed():  # what a node prints may be anything: it stays in Ray's own logs
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(more if address == "local" else {}))
    except Exception as wrong:  # noqa: BLE001 - where a node does not start, Ray raises Exception itself
        if address == "local":
            problem = f"Ray did not start here ({_first_line(wrong)}); try again, or start one with `ray start --head`"
            raise ConfigError(problem) from None
        raise ConfigError(f"--ray-address {address}: {_first_line(wrong)}; start one with `ray start --head`") from None


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Let nothing be written to standard error: Ray's native part greets there, whatever its log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _must_answer(address: str) -> None:
    """Look for the cluster ourselves: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError):
        problem = f"--ray-address {address}: no cluster answers there; start one with `ray start --head`"
        raise ConfigError(problem) from None


def _first_line(wrong: Exception) -> str:
    return (str(wrong).strip().splitlines() or [type(wrong).__name__])[0].rstrip(".")[:200]


@contextlib.contextmanager
def quiet_data() -> Iterator[None]:
    """Let Ray Data work for one dataset as a batch needs it: silent, patient, and block by block."""
    from ray.data import DataContext

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    before, level = {name: getattr(context, name) for name in _FOR_US}, logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        for name, value in _FOR_US.items():
            setattr(context, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        logger.setLevel(level)


_FOR_US = {
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    "enable_auto_log_stats": False,
    "target_max_block_size": 1,  # a row is a whole block of tickets: it goes on at once
    "execution_no_progress_timeout_s": -1,  # a block of a slow model takes hours
}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Let nothing of Ray's out: whatever it gives up over becomes a ConfigError that says what to do."""
    from ray.data.exceptions import SystemException
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, SystemException) as wrong:
        name = type(wrong).__name__  # its message may hold anything
        raise ConfigError(f"Ray gave up ({name}): its logs say why; the same command goes on from there") from None


def cpus() -> int:
    """Return how many CPUs the cluster has, at least 1."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))
