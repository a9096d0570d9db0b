"""A ticket goes in; a suggestion comes out, in time, with reasons, whatever the model does.

>>> async with open_desk(Settings(model="rules")) as desk:
...     suggestion = await desk.suggest(Ticket(body="I was charged twice"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triagedesk.blocking import BlockingDesk
    from triagedesk.desk import Desk, open_desk
    from triagedesk.errors import ConfigError, FallbackReason, ModelError, PlaybookError, TicketError, TriageError
    from triagedesk.models import Suggestion, Ticket
    from triagedesk.playbook import Playbook, load_playbook
    from triagedesk.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "BlockingDesk": "blocking", "Desk": "desk", "open_desk": "desk", "ConfigError": "errors",
    "FallbackReason": "errors", "ModelError": "errors", "PlaybookError": "errors", "TicketError": "errors",
    "TriageError": "errors", "Suggestion": "models", "Ticket": "models", "Playbook": "playbook",
    "load_playbook": "playbook", "Settings": "settings",
}  # fmt: skip

__all__ = [
    "BlockingDesk", "ConfigError", "Desk", "FallbackReason", "ModelError", "Playbook", "PlaybookError", "Settings",
    "Suggestion", "Ticket", "TicketError", "TriageError", "load_playbook", "open_desk",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import triagedesk` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"triagedesk.{_HOME[name]}"), name)
    globals()[name] = value
    return value
