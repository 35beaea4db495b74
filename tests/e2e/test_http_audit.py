"""Promise: the public view meets every audit of GraphQL over HTTP that graphql-http publishes, MAY and SHOULD too."""

from __future__ import annotations

import asyncio

import pytest
from e2e_stack import Stack

from scripts import http_audit


async def test_every_audit_is_met(stack: Stack) -> None:
    try:
        found = await asyncio.to_thread(http_audit.audits, f"{stack.base}/graphql")
    except http_audit.NoAudit as error:
        pytest.skip(f"the audit can't be had: {error}")
    assert [audit for audit in found if audit.status != "ok"] == []
    assert len(found) >= 61
