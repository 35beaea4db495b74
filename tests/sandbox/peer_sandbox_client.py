"""A plain caller of the peers' wire contract, for the tests of the sandbox. Assertions are signed without joserfc."""

import base64
import json
import uuid
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from sandbox_caller import Caller, Reply

from sandbox.subjects import make_uscc

DEV_D = "dk4XdP4fV5gmYWw1wA3vHTgaot4mxWexRo0qiefIqnc"
# SHA-256 of contract/peer.graphql and contract/peer-page.graphql.
SUBJECTS_HASH = "df7fd231285e52756e1e15834b7fea9b9ae8386f6008aeb5ac5a8631abbff76d"
PAGE_HASH = "9ea2ee88305cb241c8e6f2a431e3d7bd1fd62dc16accfb368ba1685cf8c7deb2"
GRAPHQL = "application/graphql-response+json"
FEW, MANY, NOBODY, REFUSED, ASKER = (make_uscc("91", "652799", serial) for serial in (21, 22, 23, 24, 25))
LISTING = {"caseNumber": "（2024）新42执1号", "court": "示例法院", "publishedOn": "2024-05-06", "performance": None}
GIVEN = {
    "subjects": [
        {
            "uscc": FEW,
            "name": "示例邻州公司",
            "records": [{"title": "示例处罚", "decidedOn": "2024-01-02", "amount": "12345.67"}, {"kind": "HONOUR"}],
            "courts": {"answer": {"status": "CACHED", "asOf": None}, "dishonestListings": [LISTING]},
        },
        {"uscc": MANY, "name": "样例邻州公司", "records": [{"title": f"示例{n}"} for n in range(230)]},
    ],
    "refused": [REFUSED],
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign_ed25519(message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(DEV_D + "=")).sign(message)


def sign_p256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class PeerClient(Caller):
    token = ""

    def assertion(self, sign: Any = sign_ed25519, alg: str = "EdDSA", kid: str | None = None, **changes: Any) -> str:
        now = int(self.clock.now)
        claims = {
            "iss": "gw-bortala-test",
            "sub": "gw-bortala-test",
            "aud": self.base,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + 300,
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        header = {"alg": alg, "typ": "JWT"} | ({} if kid is None else {"kid": kid})
        head = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
        return head + "." + b64(sign(head.encode()))

    def form(self, **changes: Any) -> dict[str, str]:
        detail = {
            "type": "credit_purpose",
            "matter": "GRANT",
            "case_number": "博发改审〔2026〕7号",
            "max_subjects": 50,
            "on_behalf_of": ASKER,
        }
        details = changes.pop("details", [detail | changes.pop("detail", {})])
        made = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": changes.pop("client_assertion", None) or self.assertion(**changes.pop("claims", {})),
            "scope": "view:restricted",
            "authorization_details": json.dumps(details, ensure_ascii=False),
        }
        return {name: value for name, value in (made | changes).items() if value is not None}

    async def fetch_token(self, **changes: Any) -> Reply:
        reply = await self.send("POST", "/oauth/token", data=self.form(**changes))
        if reply.status == 200 and "access_token" in reply.json:
            self.token = reply.json["access_token"]
        return reply

    async def graphql(self, body: Any, **headers: str | None) -> Reply:
        if not self.token:
            await self.fetch_token()
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Accept": GRAPHQL,
            "Credit-Hops": "1",
            "Credit-Deadline-Ms": "3500",
        }
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        kept = {name: value for name, value in sent.items() if value is not None}
        return await self.send("POST", "/graphql", json=body, headers=kept)

    async def subjects(self, *usccs: Any, **headers: str | None) -> Reply:
        return await self.graphql(persisted(SUBJECTS_HASH, usccs=list(usccs)), **headers)

    async def page(self, uscc: str, after: str, **headers: str | None) -> Reply:
        return await self.graphql(persisted(PAGE_HASH, uscc=uscc, after=after), **headers)


def persisted(sha256: str, **variables: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256}}, "variables": variables}
