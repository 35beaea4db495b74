"""GraphiQL for browsers, without a CDN: assets that `make` installs from npm, none in the repository."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "build" / "graphiql"


def graphiql_page() -> bytes | None:
    """The page, or None where the assets were not installed (then /graphql speaks only JSON)."""
    page = ASSETS / "index.html"
    return page.read_bytes() if page.is_file() else None
