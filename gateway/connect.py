"""The connectors that the operator has set up, out of the settings: the only place that knows both.

In: settings. Out: connectors by the code of their source. A source without a base URL has none.
"""

from __future__ import annotations

from connectors.base import Connector
from connectors.courts import CourtsConnector, CourtsSettings
from gateway.settings import Settings
from gateway.source_settings import CourtsSource
from gateway.sources.policy import COURTS


def connectors_of(settings: Settings) -> dict[str, Connector]:
    """The connectors that the operator has set up."""
    made: dict[str, Connector] = {}
    if settings.courts.base_url:
        made[COURTS] = CourtsConnector(courts_settings(settings.courts))
    return made


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
        connect_timeout=source.connect_timeout,
        budget=source.budget,
        concurrency=source.concurrency,
        requests_per_second=source.requests_per_second,
    )
