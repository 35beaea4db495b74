"""One frozen settings object, read from GATEWAY_* once at the start; unknown names are refused.

docs/settings.md is made from the descriptions here (`python -m scripts.make_docs`), and a test holds both together.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as NotReadable

from gateway.errors import SettingsError
from gateway.limits import CONTRACTS, checked
from gateway.source_settings import BanksSource, CourtsSource, PeerSource, PlatformSource

PREFIX = "GATEWAY_"
_WORDS = {  # for pydantic's own, which speak of strings and parsing
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
}
# Settings with a group of their own: GATEWAY_COURTS__BASE_URL.
GROUPS: Mapping[str, type[BaseModel]] = {
    "courts": CourtsSource,
    "banks": BanksSource,
    "region_platform": PlatformSource,
}
_FIELD_NAME = re.compile(r"[a-z][A-Za-z0-9]{0,39}")
_OURS = frozenset({"LOCAL", "COURTS", "BANKS", "REGION_PLATFORM", "PEER_REGION", "WORLD_BANK"})


def _listed(value: object) -> object:
    """The elements of a text with commas, or of a JSON array."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_listed)]


class TrustedIssuer(BaseModel):
    """Another authorization server whose access tokens (RFC 9068) registered clients may come with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, description="iss of its tokens, character by character")
    jwks_uri: str = Field(description="Where its public keys are; https, but for a loopback address")
    audience: str = Field(min_length=1, description="aud of its tokens for us")
    client_claim: str = Field("client_id", min_length=1, description="Claim that holds the id of the client here")
    max_seconds: int = Field(900, gt=0, le=3_600, description="Longest lifetime of its tokens that is believed")

    @field_validator("jwks_uri")
    @classmethod
    def _https(cls, value: str) -> str:
        parts = urlsplit(value)
        if not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError("must be a URL with a host, and without user and fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(parts.hostname)):
            raise ValueError("must be https")
        return value


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    trusted_proxies: Networks = Field(
        (), description="Addresses and networks of our own proxies, with commas; headers are believed from these alone"
    )
    proxy_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        "X-Forwarded-For", description="Header in which our proxies tell the client's address; the other is ignored"
    )
    client_timeout: float = Field(
        10.0,
        gt=0,
        description="Seconds that a client may take for a header, for a body or a socket's message, and without reading"
        " an answer",
    )
    max_connections: int = Field(4_096, gt=0, description="Open connections at most, in each process")
    max_connections_per_address: int = Field(
        256, ge=0, description="Open connections of one address (IPv6: /64) at most, over all processes; 0: no limit"
    )
    client_rate: float = Field(
        200.0,
        ge=0,
        description="Requests a second of one client, over all processes; what may read all records counts as several "
        "(docs/limits.md); 0: no limit",
    )
    client_burst: int = Field(1_000, gt=0, description="Requests of one client at once, before its rate holds")
    public_rate: float = Field(
        20.0,
        ge=0,
        description="Requests a second without a token, and as many with tokens that do not hold, of one address; "
        "0: no limit",
    )
    public_burst: int = Field(100, gt=0, description="The same at once, before the rate holds")
    token_rate: float = Field(5.0, ge=0, description="Requests a second for tokens of one address; 0: no limit")
    token_burst: int = Field(50, gt=0, description="The same at once, before the rate holds")
    workers: int = Field(1, ge=1, le=64, description="Processes")
    issuer: str = Field(
        "http://127.0.0.1:8000", description="Our own name as authorization server: iss of tokens, aud of assertions"
    )
    log_origin: str = Field(
        "",
        description="Name of the transparency log, which it keeps for ever (origin of its checkpoints); unset: the "
        "issuer without its scheme, and /log (docs/ledger.md)",
    )
    audience: str = Field("credit-gateway", description="aud that access tokens must carry (RFC 9068)")
    token_seconds: int = Field(300, gt=0, le=900, description="Lifetime of access tokens in seconds")
    require_bound_tokens: bool = Field(
        False, description="Refuse every token that is bound neither to a key (DPoP) nor to a certificate (mutual TLS)"
    )
    trusted_issuers: tuple[TrustedIssuer, ...] = Field(
        (),
        description="Other authorization servers whose tokens are taken: a JSON array of objects with issuer, jwks_uri,"
        " audience, client_claim, max_seconds (docs/clients.md)",
    )
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
    public_cache_bytes: int = Field(
        67_108_864,
        ge=0,
        description="Bytes of public answers that each process keeps while nothing in them changes; 0: none",
    )
    max_cost_public: int = Field(5_000, gt=0, description="Largest cost of a query in the public view")
    changes_keep_days: int = Field(
        90, gt=0, le=3_650, description="Days that changes of records are kept for those who follow them"
    )
    max_subscriptions: int = Field(1_000, gt=0, description="Subscriptions at most, in each process")
    client_subscriptions: int = Field(
        50, ge=0, description="Subscriptions of one client at most, over all processes; 0: no limit"
    )
    public_subscriptions: int = Field(
        5, ge=0, description="Subscriptions without a token of one address at most, over all processes; 0: none at all"
    )
    public_documents: Literal["any", "registered"] = Field(
        "any",
        description="What is answered without a token: any document, or those alone that are registered for @public "
        "(docs/clients.md)",
    )
    limits: dict[str, dict[str, int]] = Field(
        {},
        description='Limits of one request by contract, where they are not the ordinary ones, as JSON: {"PUBLIC": '
        '{"depth": 12}} (docs/limits.md)',
    )
    federation_name: str = Field(
        "",
        description="Our field of RegionSubject, where a router composes several prefectures (docs/federation.md): "
        "letters and digits, a small letter first. Unset: a subgraph of its own, whose entity is Subject",
    )
    courts: CourtsSource = Field(default_factory=CourtsSource, description="Court publications")
    banks: BanksSource = Field(default_factory=BanksSource, description="Banks")
    region_platform: PlatformSource = Field(default_factory=PlatformSource, description="Regional platform")
    peers: tuple[PeerSource, ...] = Field(
        (), description="Gateways of other regions: a JSON array of objects (see below); none is asked by default"
    )

    @field_validator("limits")
    @classmethod
    def _known(cls, value: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        unknown = [name for name in value if name not in CONTRACTS]
        if unknown:
            raise ValueError(f"no such contract: {unknown[0]}; contracts are {', '.join(CONTRACTS)}")
        made = {}
        for name, given in value.items():
            try:
                made[name] = checked(given)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return made

    @field_validator("issuer")
    @classmethod
    def _reached(cls, value: str) -> str:
        """Clients fetch tokens below it, and receipts and the log are named after it."""
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("must be the URL by which clients reach the gateway, such as https://credit.example")
        return value

    @field_validator("federation_name")
    @classmethod
    def _field_name(cls, value: str) -> str:
        if value and not is_field_name(value):
            raise ValueError("must be letters and digits, 40 at most, beginning with a small letter, and not uscc")
        return value

    @field_validator("peers")
    @classmethod
    def _distinct(cls, value: tuple[PeerSource, ...]) -> tuple[PeerSource, ...]:
        codes = [peer.code for peer in value]
        if len({*codes}) < len(codes) or not _OURS.isdisjoint(codes):
            raise ValueError("each peer must have a code of its own")
        return value


def is_field_name(name: str) -> bool:
    """Whether a prefecture's field may be called so (federation_name)."""
    return _FIELD_NAME.fullmatch(name) is not None and name != "uscc"


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingsError for an unknown name or a value that can't be."""
    environment = os.environ if environment is None else environment
    known = {name.upper() for name in Settings.model_fields}
    nested = {f"{group}__{name}".upper() for group, model in GROUPS.items() for name in model.model_fields}
    for name in environment:
        rest = name[len(PREFIX) :].upper()
        if name.upper().startswith(PREFIX) and rest not in known | nested:
            raise SettingsError(f"unknown setting {name}; docs/settings.md lists the names")
    try:
        return Settings()
    except ValidationError as error:
        found = [(e["loc"], _WORDS.get(e["type"], e["msg"])) for e in error.errors()]
        problems = "; ".join(dict.fromkeys(f"{_name(place)}: {_said(place, message)}" for place, message in found))
        raise SettingsError(f"settings: {problems}") from None
    except NotReadable as error:  # not JSON where a list or an object is expected
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        raise SettingsError(f"settings: {PREFIX}{name.upper()} is not JSON; docs/settings.md has its form") from None


def _said(place: tuple[int | str, ...], message: str) -> str:
    """What is wrong, with the place inside of a list: which element, which member."""
    message = message.removeprefix("Value error, ")  # pydantic's word for what our own checks say
    if place[0] in GROUPS or len(place) < 2:
        return message
    inner = [f"element {part + 1}" if isinstance(part, int) else str(part) for part in place[1:]]
    return f"{', '.join(inner)}: {message}"


def _name(place: tuple[int | str, ...]) -> str:
    """The variable of a setting, without what pydantic says of its inside."""
    names = [str(part).upper() for part in place]
    return PREFIX + "__".join(names[: 2 if place[0] in GROUPS else 1])
