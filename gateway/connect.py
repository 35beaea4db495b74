"""The connectors that the operator has set up, out of the settings: the only place that knows both.

In: settings. Out: connectors by the code of their source. A source without a base URL has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from connectors.banks import BanksConnector, BanksSettings
from connectors.base import Connector, RequestBook
from connectors.courts import CourtsConnector, CourtsSettings
from connectors.peer_region import PeerConnector, PeerSettings
from connectors.region_platform import RegionPlatformConnector, RegionPlatformSettings
from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.source_settings import BanksSource, CourtsSource, PeerSource, PlatformSource, SourceLimits
from gateway.sources.policy import BANKS, COURTS, REGION_PLATFORM


def connectors_of(settings: Settings, pending: RequestBook | None = None) -> dict[str, Connector]:
    """The connectors that the operator has set up; `pending` has the banks' requests that are still to be answered.

    Raises SettingsError where a key can't be read.
    """
    made: dict[str, Connector] = {}
    if settings.courts.base_url:
        made[COURTS] = CourtsConnector(courts_settings(settings.courts))
    if settings.banks.base_url:
        made[BANKS] = BanksConnector(banks_settings(settings.banks), pending)
    if settings.region_platform.base_url:
        made[REGION_PLATFORM] = platform_connector(settings.region_platform)
    for peer in settings.peers:
        if peer.base_url:
            made[peer.code] = PeerConnector(peer_settings(peer))
    return made


class _Limits(TypedDict):
    connect_timeout: float
    budget: float
    concurrency: int
    requests_per_second: float


def _limits(source: SourceLimits) -> _Limits:
    return {
        "connect_timeout": source.connect_timeout,
        "budget": source.budget,
        "concurrency": source.concurrency,
        "requests_per_second": source.requests_per_second,
    }


def courts_settings(source: CourtsSource) -> CourtsSettings:
    """The courts connector's own settings."""
    return CourtsSettings(
        base_url=source.base_url,
        requester_id=source.requester_id,
        app_key=source.app_key.get_secret_value(),
        service_ids={
            "dishonest": source.service_dishonest,
            "enforcement": source.service_enforcement,
            "consumption": source.service_consumption,
            "judgments": source.service_judgments,
            "refresh": source.service_refresh,
        },
        **_limits(source),
    )


def banks_settings(source: BanksSource) -> BanksSettings:
    """The banks connector's own settings."""
    return BanksSettings(
        base_url=source.base_url,
        client_id=source.client_id,
        client_secret=source.client_secret.get_secret_value(),
        **_limits(source),
    )


def platform_connector(source: PlatformSource) -> RegionPlatformConnector:
    """A connector to the regional platform."""
    return RegionPlatformConnector(
        RegionPlatformSettings(
            base_url=source.base_url,
            app_key=source.app_key,
            secret=source.secret.get_secret_value(),
            algorithm=source.algorithm,
            **_limits(source),
        )
    )


def peer_settings(peer: PeerSource) -> PeerSettings:
    """One peer's connector's own settings. Raises SettingsError where its key can't be read."""
    try:
        return PeerSettings(
            code=peer.code,
            base_url=peer.base_url,
            issuer=peer.issuer,
            client_id=peer.client_id,
            key=_read(peer.key_file),
            **_limits(peer),
        )
    except (OSError, ValueError):
        # Its own words may have parts of the file.
        raise SettingsError(
            f"GATEWAY_PEERS: {peer.code}: {peer.key_file} has no private key that can be used: a JWK or PEM, P-256 or"
            " Ed25519"
        ) from None


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
