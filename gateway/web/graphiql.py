"""GraphiQL for browsers, without a CDN: `make graphiql` bundles it from npm packages, none of them in the repository.

In: what scripts/build_graphiql.py left in build/graphiql/ (from graphiql.html, .js and .css beside this file). Out: the
page's bytes and its headers for graphql.py, the folder of its assets for app.py.
"""

from __future__ import annotations

from pathlib import Path

BUILT = Path(__file__).resolve().parents[2] / "build" / "graphiql"
ASSETS = BUILT / "assets"  # mounted at /graphql/assets

# Scripts and workers come from our own host alone, and no script may stand in the page. Styles must be allowed inline:
# the editor sets them per line. Fonts and images are partly data: addresses in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),  # the page names its assets by version, so it alone must be asked for again
)


def graphiql_page() -> bytes | None:
    """The page, or None where it was not built (then /graphql speaks only JSON)."""
    page = BUILT / "index.html"
    return page.read_bytes() if page.is_file() else None
