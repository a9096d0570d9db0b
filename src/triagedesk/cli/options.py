"""What several commands take: where the playbook, the model and the cache are, and how long an answer may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.settings import Settings

ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="rules, trained, openai/NAME or local/PATH.gguf. Default: by key."),
]
BaseUrlOption = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Any OpenAI-compatible server, with its /v1.")
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", metavar="TIME", help="Answer within this: 5s, 500ms, 2m. Default: 10s.")
]
PlaybookOption = Annotated[
    Path | None, typer.Option("--playbook", metavar="FILE", help="Labels, policy and rules. Default: the bundled one.")
]
PromptOption = Annotated[Path | None, typer.Option("--prompt", metavar="FILE", help="Another prompt template.")]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Ask the model even where the answer is known.")]
InArgument = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="Tickets: a file, a folder, a 'pattern*' in quotes, or - for JSON lines on standard input. .jsonl, "
        ".ndjson, .csv and .tsv, also as .gz, .bz2, .xz or .zst; .parquet.",
    ),
]
OutArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="Suggestions: .jsonl or .csv, also as .gz or .zst; .parquet.")
]
CacheDirOption = Annotated[Path | None, typer.Option("--cache-dir", metavar="DIR", help="Where answers are kept.")]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(text: str) -> float:
    """Read "5s", "500ms", "2m" or plain seconds. Raises ConfigError."""
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return _number(text.removesuffix(unit)) * factor
    return _number(text)


def _number(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal() or not text.isascii():
        raise ConfigError("--deadline: write a time such as 5s, 500ms or 2m")
    return float(text)


@dataclass(frozen=True)
class Options:
    """The common options as they were given; None where nothing was."""

    model: str | None = None
    base_url: str | None = None
    deadline: str | None = None
    playbook: Path | None = None
    prompt: Path | None = None
    no_cache: bool = False
    cache_dir: Path | None = None

    def settings(self, **more: Any) -> Settings:
        """Build the settings: options win over the environment. Raises ConfigError."""
        from triagedesk.settings import Settings

        settings = Settings.from_env(
            model=self.model,
            base_url=self.base_url,
            deadline_s=None if self.deadline is None else seconds(self.deadline),
            playbook=self.playbook,
            prompt=self.prompt,
            cache=False if self.no_cache else None,
            cache_dir=self.cache_dir,
            **more,
        )
        for path in (settings.playbook, settings.prompt):
            _must_be_regular(path)
        return settings


def _must_be_regular(path: Path | None) -> None:
    """Refuse pipes and devices, which may never end; a missing file is named by whoever reads it."""
    if path is not None and path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a regular file; give one")
