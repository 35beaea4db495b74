"""Settings of the sources: where each is, who we are there, and within which limits it is asked.

A part of settings.py, which reads them; docs/settings.md is made from the descriptions here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class SourceLimits(BaseModel):
    """What every source has. `parts`: the kinds of record that it is asked for; `needed`: what it can't do without."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    parts: ClassVar[tuple[str, ...]] = ()
    needed: ClassVar[tuple[str, ...]] = ()

    base_url: str = Field("", description="Base URL; empty: the source is not consulted")
    connect_timeout: float = Field(1.0, gt=0, description="Seconds to connect")
    budget: float = Field(4.0, gt=0, description="Seconds for all calls of one request")
    concurrency: int = Field(8, gt=0, description="Calls in flight at most")
    requests_per_second: float = Field(20.0, ge=0, description="Calls a second at most; 0: no limit")
    breaker_failures: int = Field(5, gt=0, description="Failures in a row that open the circuit breaker")
    breaker_seconds: float = Field(10.0, gt=0, description="Seconds that the breaker stays open before one trial call")

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None):
            raise ValueError("must be a URL with http or https and a host, and without a user")
        return value

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        """A source that is set up and can't be asked would look like one that is down."""
        lacking = [name for name in self.needed if not _text(getattr(self, name))]
        if self.base_url and lacking:
            raise ValueError(f"with a base URL it also needs {', '.join(name.upper() for name in lacking)}")
        return self


class KeptLimits(SourceLimits):
    """What sources have whose answers are kept."""

    fresh_seconds: int = Field(86_400, ge=0, description="How long an answer is fresh")
    stale_seconds: int = Field(
        604_800, ge=0, description="How old an answer may be shown, marked STALE, while the source is down"
    )
    negative_fresh_seconds: int = Field(14_400, ge=0, description="How long an answer without any row is fresh")
    fresh_seconds_of: dict[str, NonNegativeInt] = Field(
        default_factory=dict,
        description='The same for some kinds of record (docs/connectors.md), as JSON: {"<kind>": 604800}',
    )
    stale_seconds_of: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="How old an answer may be shown, for some kinds of record, as JSON"
    )

    @field_validator("fresh_seconds_of", "stale_seconds_of")
    @classmethod
    def _known_kinds(cls, value: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(set(value) - set(cls.parts)):
            raise ValueError(f"{', '.join(unknown)}: not among {', '.join(cls.parts)}")
        return value


class CourtsSource(KeptLimits):
    """Court publications, asked by the national exchange platform's signed calls."""

    parts = ("dishonest", "enforcement", "consumption", "judgments")
    needed = (
        "requester_id",
        "app_key",
        "service_dishonest",
        "service_enforcement",
        "service_consumption",
        "service_judgments",
        "service_refresh",
    )

    requester_id: str = Field("", description="Our id there (gjgxjhpt_rid)")
    app_key: SecretStr = Field(SecretStr(""), description="App key that signs the refresh of the secret")
    service_dishonest: str = Field("", description="Service id of dishonest debtors")
    service_enforcement: str = Field("", description="Service id of enforcement cases")
    service_consumption: str = Field("", description="Service id of consumption orders")
    service_judgments: str = Field("", description="Service id of judgments against organs")
    service_refresh: str = Field("", description="Service id of the refresh of the secret")


class BanksSource(SourceLimits):
    """The banks' credit summaries, asked under a subject's consent; answers are kept nowhere."""

    parts = ("summary",)
    needed = ("client_id", "client_secret")

    client_id: str = Field("", description="Our id at the token endpoint (OAuth 2.0 client credentials)")
    client_secret: SecretStr = Field(SecretStr(""), description="Our secret there")


class PlatformSource(KeptLimits):
    """The regional credit information platform, asked by signed calls in batches of 50."""

    parts = ("records",)
    needed = ("app_key", "secret")

    app_key: str = Field("", description="Our id there (X-App-Key)")
    secret: SecretStr = Field(SecretStr(""), description="Secret that signs every call")
    algorithm: Literal["SM3", "SHA256"] = Field("SM3", description="Algorithm of the signature")
    follow_changes: bool = Field(True, description="Whether the platform's changes are followed and put on record here")
    changes_seconds: float = Field(60.0, gt=0, description="Seconds between two looks at its changes")


class PeerSource(KeptLimits):
    """Another region's gateway."""

    parts = ("subject",)

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{2,40}$")] = Field(
        description="Its code as a source, such as PEER_659007"
    )
    name: str = Field(min_length=1, description="Its name")
    name_en: str = Field("", description="Its name in English")
    region_code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2,12}$")] = Field(description="Its region")
    region_name: str = Field(min_length=1, description="Name of its region")
    issuer: str = Field(min_length=1, description="Its authorization server: aud of our assertions")
    client_id: str = Field(min_length=1, description="Our id there")
    key_file: Path = Field(description="File with our private key for it: a JWK (ES256 or EdDSA) with a kid")
    matters: tuple[str, ...] = Field((), description="Matters in which it may be asked; none unless named")
    fresh_seconds: int = Field(3_600, ge=0, description="How long an answer is fresh")
    stale_seconds: int = Field(
        86_400, ge=0, description="How old an answer may be shown, marked STALE, while the source is down"
    )
    negative_fresh_seconds: int = Field(900, ge=0, description="How long an answer without any record is fresh")
