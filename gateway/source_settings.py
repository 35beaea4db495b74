"""Settings of the sources: where each is, who we are there, and within which limits it is asked.

A part of settings.py, which reads them; docs/settings.md is made from the descriptions here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, SecretStr, StringConstraints

UsccText = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$")]


class SourceLimits(BaseModel):
    """What every source has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field("", description="Base URL; empty: the source is not consulted")
    connect_timeout: float = Field(1.0, gt=0, description="Seconds to connect")
    budget: float = Field(4.0, gt=0, description="Seconds for all calls of one request")
    concurrency: int = Field(8, gt=0, description="Calls in flight at most")
    requests_per_second: float = Field(20.0, ge=0, description="Calls a second at most; 0: no limit")
    breaker_failures: int = Field(5, gt=0, description="Failures in a row that open the circuit breaker")
    breaker_seconds: float = Field(10.0, gt=0, description="Seconds that the breaker stays open before one trial call")


class KeptLimits(SourceLimits):
    """What sources have whose answers are kept."""

    fresh_seconds: int = Field(86_400, ge=0, description="How long an answer is fresh")
    stale_seconds: int = Field(
        604_800, ge=0, description="How old an answer may be shown, marked STALE, while the source is down"
    )
    negative_fresh_seconds: int = Field(14_400, ge=0, description="How long an answer without any row is fresh")
    fresh_seconds_of: dict[str, NonNegativeInt] = Field(
        default_factory=dict,
        description='The same for some kinds of record (docs/connectors.md), as JSON: {"judgments": 604800}',
    )
    stale_seconds_of: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="How old an answer may be shown, for some kinds of record, as JSON"
    )


class CourtsSource(KeptLimits):
    """Court publications, asked by the national exchange platform's signed calls."""

    requester_id: str = Field("", description="Our id there (gjgxjhpt_rid)")
    app_key: SecretStr = Field(SecretStr(""), description="App key that signs the refresh of the secret")
    service_dishonest: str = Field("", description="Service id of dishonest debtors")
    service_enforcement: str = Field("", description="Service id of enforcement cases")
    service_consumption: str = Field("", description="Service id of consumption orders")
    service_judgments: str = Field("", description="Service id of judgments against organs")
    service_refresh: str = Field("", description="Service id of the refresh of the secret")


class BanksSource(SourceLimits):
    """The banks' credit summaries, asked under a subject's consent; answers are kept nowhere."""

    client_id: str = Field("", description="Our id at the token endpoint (OAuth 2.0 client credentials)")
    client_secret: SecretStr = Field(SecretStr(""), description="Our secret there")


class PlatformSource(KeptLimits):
    """The regional credit information platform, asked by signed calls in batches of 50."""

    app_key: str = Field("", description="Our id there (X-App-Key)")
    secret: SecretStr = Field(SecretStr(""), description="Secret that signs every call")
    algorithm: Literal["SM3", "SHA256"] = Field("SM3", description="Algorithm of the signature")
    follow_changes: bool = Field(True, description="Whether the platform's changes are followed and put on record here")
    changes_seconds: float = Field(60.0, gt=0, description="Seconds between two looks at its changes")


class PeerSource(KeptLimits):
    """Another region's gateway."""

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
