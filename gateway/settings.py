"""One frozen settings object, read from GATEWAY_* once at the start; unknown names are refused.

docs/settings.md is made from the descriptions here (`python -m scripts.make_docs`), and a test holds both together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import SettingsError

PREFIX = "GATEWAY_"


class CourtsSource(BaseModel):
    """Court publications, asked by the national exchange platform's signed calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field("", description="Base URL of the exchange platform; empty: the source is not consulted")
    requester_id: str = Field("", description="Our id there (gjgxjhpt_rid)")
    app_key: SecretStr = Field(SecretStr(""), description="App key that signs the refresh of the secret")
    service_dishonest: str = Field("", description="Service id of dishonest debtors")
    service_enforcement: str = Field("", description="Service id of enforcement cases")
    service_consumption: str = Field("", description="Service id of consumption orders")
    service_judgments: str = Field("", description="Service id of judgments against organs")
    service_refresh: str = Field("", description="Service id of the refresh of the secret")
    connect_timeout: float = Field(1.0, gt=0, description="Seconds to connect")
    budget: float = Field(4.0, gt=0, description="Seconds for all calls of one request")
    concurrency: int = Field(8, gt=0, description="Calls in flight at most")
    requests_per_second: float = Field(20.0, ge=0, description="Calls a second at most; 0: no limit")
    fresh_seconds: int = Field(86_400, ge=0, description="How long an answer is fresh")
    stale_seconds: int = Field(
        604_800, ge=0, description="How old an answer may be shown, marked STALE, while the source is down"
    )
    negative_fresh_seconds: int = Field(14_400, ge=0, description="How long an answer without any row is fresh")
    breaker_failures: int = Field(5, gt=0, description="Failures in a row that open the circuit breaker")
    breaker_seconds: float = Field(10.0, gt=0, description="Seconds that the breaker stays open before one trial call")


class Settings(BaseSettings):
    """Everything that an operator may set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(Path(".data"), description="Where embedded PostgreSQL, secrets and keys are kept")
    database_url: SecretStr | None = Field(
        None, description="URL of the migrate role on an ordinary PostgreSQL (15 to 18); unset: embedded PostgreSQL"
    )
    role_prefix: str | None = Field(None, description="Beginning of the role names; by default the database's name")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="Port to listen on; 0 takes a free one")
    admin_host: str = Field("127.0.0.1", description="Address of /metrics")
    admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(8001, description="Port of /metrics; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="Processes")
    issuer: str = Field(
        "http://127.0.0.1:8000", description="Our own name as authorization server: iss of tokens, aud of assertions"
    )
    audience: str = Field("credit-gateway", description="aud that access tokens must carry (RFC 9068)")
    token_seconds: int = Field(300, gt=0, le=900, description="Lifetime of access tokens in seconds")
    pool_size: int = Field(8, gt=0, description="Connections of each view's pool, in each process")
    database_timeout: float = Field(
        2.0,
        gt=0,
        description="Seconds that all statements of a request may take together, waiting and a second attempt included",
    )
    request_budget: float = Field(5.0, gt=0, description="Seconds that one request may wait for sources")
    ledger_timeout: float = Field(
        2.0,
        gt=0,
        description="Seconds that a disclosure may wait for a lock, or without a statement until it is durable",
    )
    max_body_bytes: int = Field(1_048_576, gt=0, description="Largest body of a request in bytes")
    max_cost: int = Field(
        50_000, gt=0, description="Largest cost of a query above the public view, in rows that it may read"
    )
    max_cost_public: int = Field(5_000, gt=0, description="Largest cost of a query in the public view")
    courts: CourtsSource = Field(default_factory=lambda: CourtsSource(), description="Court publications")


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingsError for an unknown name or a value that can't be."""
    environment = os.environ if environment is None else environment
    known = {name.upper() for name in Settings.model_fields}
    nested = {f"COURTS__{name.upper()}" for name in CourtsSource.model_fields}
    for name in environment:
        rest = name[len(PREFIX) :].upper()
        if name.upper().startswith(PREFIX) and rest not in known | nested:
            raise SettingsError(f"unknown setting {name}; docs/settings.md lists the names")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'__'.join(str(part).upper() for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise SettingsError(f"settings: {problems}") from None
