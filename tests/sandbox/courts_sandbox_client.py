"""A plain caller of the courts' wire contract (docs/connectors.md), for the tests of the sandbox.

Written from the contract alone: it shares no code with the server that it asks, nor with the connectors.
"""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sandbox.data import make_uscc

KEY = "Hk3-vX9_test-app-key-0123456789ab"
START = 1767225600.0  # Unix seconds, 2026-01-01T00:00:00Z
FEW, MANY, NOBODY = (make_uscc("91", "652701", serial) for serial in (1, 2, 3))
HYPHENED = f"{FEW[8:16]}-{FEW[16]}"
ROWS = {
    "dishonest": [
        {"id": 1, "iname": "示例一", "caseCode": "(2023)新2701执7号", "cardNum": HYPHENED, "regDate": "20230102"}
    ],
    "enforcement": [
        {
            "id": n,
            "caseCode": f"（2024）新27执{n}号",
            "partyCardNum": MANY,
            "pname": "示例二",
            "execMoney": Decimal("0.10"),
        }
        for n in range(1, 26)
    ],
}


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Client:
    """A plain caller of the contract: headers, refresh, one page a call. Every part of a call can be made wrong."""

    def __init__(self, base: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.base, self.session, self.clock = base, session, clock

    def headers(self, key: str, sid: str, *, rtime: str | None = None, **wrong: str) -> dict[str, str]:
        rtime = str(int(self.clock.now * 1000)) if rtime is None else rtime
        rid = wrong.get("rid", "gw-bortala-test")
        mac = hmac.new(key.encode(), (sid + rid + rtime).encode(), hashlib.sha256).digest()
        signed = wrong.get("sign", base64.b64encode(mac).decode())
        return {"gjgxjhpt_rid": rid, "gjgxjhpt_sid": sid, "gjgxjhpt_rtime": rtime, "gjgxjhpt_sign": signed}

    async def refresh(self, *, key: str = KEY, sid: str = "sid-courts-refresh", **wrong: Any) -> dict[str, Any]:
        url, headers = f"{self.base}/sysapi/auth/refreshappsecret", self.headers(key, sid, **wrong)
        async with self.session.post(url, headers=headers, json={}) as response:
            assert response.status == 200
            return await response.json()

    async def secret(self) -> str:
        data = (await self.refresh())["data"]
        decryptor = Cipher(algorithms.AES(KEY.encode()[:16]), modes.ECB()).decryptor()
        padded = decryptor.update(base64.b64decode(data["secret"])) + decryptor.finalize()
        return padded[: -padded[-1]].decode()

    def post(self, service: str, secret: str, body: Any, **wrong: str) -> Any:
        headers = self.headers(secret, wrong.pop("sid", f"sid-courts-{service}"), **wrong)
        data = json.dumps(body).encode()
        return self.session.post(f"{self.base}/httpproxy/{service}", headers=headers, data=data, allow_redirects=False)

    async def query(self, service: str, secret: str, uscc: str, page: int = 1, **wrong: str) -> Any:
        body = {"cardNum": uscc, "pName": "", "currentPage": page}
        async with self.post(service, secret, body, **wrong) as response:
            assert response.status == 200
            return await response.json()

    async def calls(self) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.base}/_calls") as response:
            found: list[dict[str, Any]] = await response.json()
            return found

    async def fault(self, name: str, service: str = "enforcement", **options: Any) -> None:
        body = {"service": service, "fault": name, **options}
        async with self.session.post(f"{self.base}/_faults", json=body) as response:
            assert response.status == 201, await response.text()
