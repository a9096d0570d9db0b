"""What lives as long as a desk does is not looked through by the garbage collector while one is open.

A warm desk is some 200,000 objects that stay. A full collection looks through them all, and nothing else runs for 0.1
to 0.3 s: more than a deadline's margin. `gc.freeze` leaves them out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_counting = Lock()
_held = 0
_ours = False


@contextmanager
def lasting() -> Iterator[None]:
    """Leave out what exists now, until the last such block ends; a process that froze things itself is left alone.

    Takes no time: what is unreachable already is not looked for, and stays until then. A playbook that is reloaded,
    whose new desk opens before the old one closes, leaves a megabyte behind.
    """
    global _held, _ours
    with _counting:
        if _held == 0:
            _ours = gc.get_freeze_count() == 0
        _held += 1
        if _ours:
            gc.freeze()
    try:
        yield
    finally:
        with _counting:
            _held -= 1
            if _held == 0 and _ours:
                gc.unfreeze()
