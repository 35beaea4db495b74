"""GraphiQL for browsers, without a CDN: `make graphiql` bundles it from npm packages, none of them in the repository.

In: what scripts/build_graphiql.py left in build/graphiql/ (from graphiql.html, .js and .css beside this file). Out: the
page's bytes and its headers for graphql.py, the folder of its assets for app.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

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
    (b"cache-control", b"no-cache"),  # the page names its assets by version, so it alone must be asked for again
)


class Assets(StaticFiles):
    """The page's scripts and styles, under the page's policy: a worker has that of its own script."""

    def file_response(
        self, full_path: os.PathLike[str] | str, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """As StaticFiles, with the policy."""
        made = super().file_response(full_path, stat_result, scope, status_code)
        made.headers["content-security-policy"] = POLICY
        return made


def graphiql_page() -> bytes | None:
    """The page, or None where it was not built (then /graphql speaks only JSON)."""
    page = BUILT / "index.html"
    return page.read_bytes() if page.is_file() else None
