"""What a line of the journal may say: one fact in one of these shapes. Whatever else stands there is damage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter

Planned = tuple[PositiveInt, PositiveInt, PositiveInt]
"""A part's number, its requests, and the bytes of its file."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Head(_Line):
    """The first line: whose batch this is, how it is called at the provider, and the key of its questions' names."""

    model_config = ConfigDict(extra="ignore")  # another version may say more; that it is another is told by itself

    event: Literal["head"]
    version: int
    identity: str
    run: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    secret: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PlanMade(_Line):
    """All requests are written."""

    event: Literal["planned"]
    parts: tuple[Planned, ...]


class _OfPart(_Line):
    part: PositiveInt


class SplitUp(_OfPart):
    """Other parts took this one's place; `files` may still stand at the provider."""

    event: Literal["split"]
    parts: tuple[Planned, ...]
    files: tuple[str, ...]


class Uploaded(_OfPart):
    """The requests stand at the provider."""

    event: Literal["uploaded"]
    file: str


class Creating(_OfPart):
    """A batch is about to be created, under a tag that was not used before."""

    event: Literal["creating"]


class Created(_OfPart):
    """The batch is known by this name."""

    event: Literal["created"]
    batch: str


class Merged(_OfPart):
    """The results are in the store; `files` may still stand at the provider."""

    event: Literal["merged"]
    status: str
    files: tuple[str, ...]


class Cleaned(_OfPart):
    """Nothing of the part stands at the provider any more, nor here."""

    event: Literal["cleaned"]


OfPart = SplitUp | Uploaded | Creating | Created | Merged | Cleaned
Fact = PlanMade | OfPart

FACT: TypeAdapter[Fact] = TypeAdapter(Annotated[Fact, Field(discriminator="event")])
