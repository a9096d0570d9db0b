"""How one helpdesk is connected: its secrets, its words for things, and how far automation may go."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from triagedesk.models import Frozen

MIN_SECRET_CHARS, MIN_TOKEN_CHARS = 8, 24
"""A secret that signs; and one that is sent along in a path or header, where it is all there is."""

Kind = Literal["zendesk", "freshdesk", "intercom", "zammad", "chatwoot", "generic"]


class Proof(StrEnum):
    """How a delivery shows whom it comes from."""

    SIGNATURE = "signature"  # a MAC over the raw bytes
    HEADER = "header"  # a secret in a header of its own
    PATH = "path"  # a long token in the address
    BASIC = "basic"  # name and password
    BEARER = "bearer"  # Authorization: Bearer


class Mode(StrEnum):
    """How far a dimension's label goes by itself."""

    SHADOW = "shadow"  # recorded here, nothing is written
    SUGGEST = "suggest"  # tags and an internal note
    APPLY = "apply"  # priority, group and fields too, from the measured threshold on


class SignatureFormat(Frozen):
    """How a desk signs: HMAC over the raw body, or over timestamp, separator and raw body."""

    header: str = Field(pattern=r"^[A-Za-z0-9-]{1,80}$")
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    timestamp_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,80}$")
    timestamp: Literal["unix", "iso"] = "unix"
    separator: str = ""


def _read_secret(value: object) -> object:
    """Read `env:NAME` from the environment and `file:PATH` from a file; everything else is the secret itself."""
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        found = os.environ.get(value[4:])
        if not found:
            raise ValueError("the environment variable that it names is not set")
        return found
    if value.startswith("file:"):
        try:
            return Path(value[5:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError):
            raise ValueError("the file that it names cannot be read") from None
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_listed), Field(min_length=1, max_length=3)]


class DeskSettings(Frozen):
    """One desk as it is connected. Times in seconds; secrets may be written as env:NAME or file:PATH."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="stands in the webhook's address")
    kind: Kind
    proof: Proof = Field(default=Proof.SIGNATURE, description="how deliveries prove whom they come from")
    secrets: Secrets = Field(description="active secrets; two while one replaces the other")
    secret_header: str = Field(default="X-Webhook-Secret", pattern=r"^[A-Za-z0-9-]{1,80}$")
    user: str | None = Field(default=None, description="the name of basic authentication")
    signature: SignatureFormat | None = Field(default=None, description="for generic desks: how they sign")
    window_s: float = Field(default=300, gt=0, le=3600, description="how old a signed timestamp may be")
    max_age_s: float = Field(default=86_400, gt=0, description="the same for a time in a signed body")

    base_url: str | None = Field(default=None, description="the desk's API; without it nothing is written back")
    api_token: Secret | None = None
    api_user: str | None = Field(default=None, description="Zendesk: e-mail of the agent the token belongs to")
    admin_id: str | None = Field(default=None, pattern=r"^\d{1,20}$", description="Intercom: who writes the notes")
    write_path: str = Field(default="/tickets/{id}/triage", pattern=r"^/[A-Za-z0-9_./{}-]*$", description="generic")

    automation: dict[str, Mode] = Field(default_factory=dict, description="mode by dimension; others are in shadow")
    tag_prefix: str = Field(default="triagedesk", pattern=r"^[a-z][a-z0-9-]{2,30}$")
    follow_ups: bool = Field(default=False, description="read a customer's new message though our tag is there")
    priorities: dict[str, str] = Field(default_factory=dict, description="urgency to priority, where not by rank")
    groups: dict[str, str | int] = Field(default_factory=dict, description="queue, or label of group_by, to group")
    group_by: str = "issue_type"
    fields: dict[str, str] = Field(default_factory=dict, description="dimension to the desk's custom field")
    tag_ids: dict[str, str] = Field(default_factory=dict, description="Intercom: our tags' ids")

    channels: dict[str, str] = Field(default_factory=dict, description="the desk's word to the playbook's channel")
    tiers: dict[str, str] = Field(default_factory=dict, description="the desk's word to the playbook's tier")
    map: dict[str, str] = Field(default_factory=dict, description="ticket field to a dotted path into the body")
    customer_words: tuple[str, ...] = ("customer", "contact", "user", "end_user", "requester", "lead")

    @field_validator("secrets")
    @classmethod
    def _sendable(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(one.get_secret_value()) < MIN_SECRET_CHARS for one in secrets):
            raise ValueError(f"a secret has at least {MIN_SECRET_CHARS} characters")
        return secrets

    @field_validator("api_token", "api_user")
    @classmethod
    def _headerable(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not (text and text.isascii() and text.isprintable()):
            raise ValueError("holds characters that no header can carry")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        bare = self.proof in (Proof.PATH, Proof.HEADER, Proof.BEARER)
        if bare and any(len(one.get_secret_value()) < MIN_TOKEN_CHARS for one in self.secrets):
            raise ValueError(f"a secret that is sent along has at least {MIN_TOKEN_CHARS} characters")
        if self.proof is Proof.BASIC and not self.user:
            raise ValueError("basic authentication needs user")
        if self.kind == "generic" and self.proof is Proof.SIGNATURE and self.signature is None:
            raise ValueError("a generic desk that signs needs signature: header, algorithm, encoding …")
        if self.kind != "generic" and self.signature is not None:
            raise ValueError("signature is for generic desks; how this kind signs is known")
        if self.kind == "freshdesk" and self.proof is Proof.SIGNATURE:
            raise ValueError("Freshdesk does not sign; set proof to header, path or basic")
        if self.kind == "intercom" and self.automation and not self.admin_id:
            raise ValueError("Intercom needs admin_id to write back")
        return self
