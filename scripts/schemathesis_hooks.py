"""What Schemathesis is told about this gateway: values that reach the database, and what every answer must be.

Loaded by Schemathesis itself (SCHEMATHESIS_HOOKS); CREDIT_KNOWN has codes and ids of the gateway under test as JSON.
"""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from gateway.errors import CLIENT_ERRORS
from tests.e2e.malformed_run import RAW

KNOWN: dict[str, list[str]] = json.loads(os.environ.get("CREDIT_KNOWN", '{"usccs": [], "ids": []}'))
CODES = frozenset(error.code for error in CLIENT_ERRORS)
JSON_TYPES = ("application/graphql-response+json", "application/json")


def _of(name: str) -> st.SearchStrategy[Any]:
    """Mostly what is known, so that answers have something in them; else any text."""
    known = st.sampled_from(KNOWN[name]) if KNOWN[name] else st.nothing()
    return st.one_of(known, known, known, st.text(max_size=40)).map(nodes.String)


schemathesis.graphql.scalar("Uscc", _of("usccs"))
schemathesis.graphql.scalar("ID", _of("ids"))


@schemathesis.check
def sound(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """No server error, no raw error text; from /graphql JSON of GraphQL's shape, with codes of our list."""
    assert response.status_code < 500, f"status {response.status_code}"
    if not str(case.operation.path).startswith("/graphql") or response.request.method == "HEAD":
        return
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    assert kind in JSON_TYPES, f"content type {kind}"
    found = response.json()
    assert isinstance(found, dict), "not an object"
    assert set(found) <= {"data", "errors", "extensions"}, f"members {sorted(found)}"
    assert "data" in found or found.get("errors"), "neither data nor errors"
    for error in found.get("errors", []):
        assert error["extensions"]["code"] in CODES - {"INTERNAL"}, error
        assert error["message"], "an empty message"
        assert not RAW.search(error["message"]), error["message"]
        assert "data" not in found or "path" in error, "a request error beside data"
