"""A plain caller of the banks' wire contract, for the tests of the sandbox."""

import base64
import uuid
from typing import Any
from urllib.parse import quote_plus

from sandbox_caller import Caller, Reply

from sandbox.subjects import make_uscc

SECRET = "Bk7+dev:secret/9%x"
KNOWN, LATER, NOBODY, GRANTEE = (make_uscc("91", "652799", serial) for serial in (1, 2, 3, 4))
GIVEN = {
    KNOWN: {
        "summary": {
            "loanBalance": "918273645.12",
            "unit": "元",
            "classification": "关注",
            "events": [{"kind": "展期", "amount": "7.00", "occurredOn": "2025-01-02", "settledOn": None}],
        },
        "asOf": "2025-12-31T08:00:00+08:00",
    },
    LATER: {"summary": {"loanBalance": "1.00"}, "pending": {"polls": 1, "seconds": 3}},
}


def consent(**changes: Any) -> dict[str, Any]:
    made = {
        "id": "consent-1",
        "documentSha256": "ab" * 32,
        "purpose": "GRANT",
        "grantee": GRANTEE,
        "validTo": "2026-01-01",  # the clock's first day in Shanghai
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


class BanksClient(Caller):
    token = ""

    async def fetch_token(self, *, pair: str | None = None, **form: str) -> Reply:
        if pair is None:
            pair = f"{quote_plus('gw-bortala-test')}:{quote_plus(SECRET)}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        data = {"grant_type": "client_credentials"} | form
        reply = await self.send("POST", "/oauth2/token", headers=headers, data=data)
        if reply.status == 200 and "access_token" in reply.json:
            self.token = reply.json["access_token"]
        return reply

    async def ask(self, uscc: str, key: str | None = None, **changes: Any) -> Reply:
        """One request; `changes` to the body, `key` None makes a new one."""
        key = str(uuid.uuid4()) if key is None else key
        body = {"requestId": key, "uscc": uscc, "consent": consent()} | changes
        return await self.post(body, {"Idempotency-Key": key} if key else {})

    async def post(self, body: Any, headers: dict[str, str]) -> Reply:
        if not self.token:
            await self.fetch_token()
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        return await self.send("POST", "/credit/v1/summaries", headers=sent, json=body)

    async def poll(self, key: str) -> Reply:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.send("GET", f"/credit/v1/summaries/{key}", headers=headers)
