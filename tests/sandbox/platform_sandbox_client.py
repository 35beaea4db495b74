"""A plain caller of the regional platform's wire contract, for the tests of the sandbox."""

import hashlib
import hmac
import itertools
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from sandbox_caller import Caller, Reply

from sandbox.subjects import make_uscc

APP_KEY, SECRET = "gw-bortala-test", "platform-secret-7f3a"
FEW, MANY, NOBODY, OTHER = sorted(make_uscc("91", "652799", serial) for serial in (11, 12, 13, 14))
PENALTY = {
    "CF_XDR_MC": "示例公司",
    "CF_XDR_SHXYM": FEW,
    "CF_WSH": "示罚字[2024]1号",
    "CF_CFLB": "警告、罚款",
    "CF_NR_FK": Decimal("0.10"),
    "CF_JDRQ": "2024-01-02",
    "CF_CFJG": "示例局",
}
HONOUR = {"title": "示例称号", "awarded_on": "2024-03-04", "authority": "示例局"}
ROWS = [
    {"table_name": "xzcf", "tyshxydm": FEW, "entity": PENALTY},
    {"table_name": "honour", "tyshxydm": FEW, "entity": HONOUR},
    *(
        {"table_name": "xzxk", "tyshxydm": MANY, "entity": {"XK_XDR_MC": "示例二", "XK_WSH": f"示许字〔2024〕{n:03}号"}}
        for n in reversed(range(130))
    ),
]


class PlatformClient(Caller):
    """Every part of a call can be made wrong."""

    scheme = "SM3"
    numbers = itertools.count(1)

    def headers(self, body: bytes, **wrong: str) -> dict[str, str]:
        at = wrong.get("at", str(int(self.clock.now * 1000)))
        nonce = wrong.get("nonce", f"nonce-{next(self.numbers)}")
        key, secret = wrong.get("key", APP_KEY), wrong.get("secret", SECRET)
        sign = wrong.get("sign", self._signed(secret, f"{key}{at}{nonce}", body))
        return {"X-App-Key": key, "X-Request-Time": at, "X-Nonce": nonce, "X-Sign": sign}

    def _signed(self, secret: str, head: str, body: bytes) -> str:
        if self.scheme == "SHA256":
            text = head + hashlib.sha256(body).hexdigest()
            return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        digest = hashes.Hash(hashes.SM3())
        digest.update(body)
        mac = HMAC(secret.encode(), hashes.SM3())
        mac.update((head + digest.finalize().hex()).encode())
        return mac.finalize().hex()

    async def post(self, path: str, body: Any, **wrong: str) -> Reply:
        raw = json.dumps(body, ensure_ascii=False).encode()
        reply = await self.send("POST", f"/api/v1/credit/{path}", data=raw, headers=self.headers(raw, **wrong))
        assert reply.status == 200
        return reply

    async def get(self, path: str, **wrong: str) -> Any:
        reply = await self.send("GET", f"/api/v1/credit/{path}", headers=self.headers(b"", **wrong))
        assert reply.status == 200
        return reply.json

    async def query(self, *usccs: str, page: int = 1, size: int = 100, **wrong: str) -> Any:
        return (await self.post("query", {"tyshxydmList": list(usccs), "page": page, "size": size}, **wrong)).json

    async def changes(self, since: str = "", size: int = 500) -> Any:
        return await self.get(f"changes?since={quote(since, safe='')}&size={size}")

    async def report(self, batch: str, *rows: dict[str, Any], table: str = "xzcf") -> Any:
        return (await self.post("report", {"batchNo": batch, "table_name": table, "rows": list(rows)})).json

    async def withdraw(self, batch: str, *items: dict[str, Any]) -> Any:
        return (await self.post("withdraw", {"batchNo": batch, "items": list(items)})).json

    async def repair(self, number: str, **changes: Any) -> Any:
        body = {
            "repairNo": number,
            "table_name": "xzcf",
            "wsh": "示罚字〔2024〕1号",
            "tyshxydm": FEW,
            "appliedOn": "2026-01-01",
            "statement": "示例说明",
            "commitment": True,
        }
        return (await self.post("repairs", body | changes)).json
