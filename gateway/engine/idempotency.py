"""What a mutation is known by when it is sent again: the Idempotency-Key (draft-ietf-httpapi-idempotency-key-header).

In: a request with a key. Out: the hash that its reply is kept under, and the hash that tells another request by.
Neither holds the key, and the second can't be tried out without it: variables may name persons.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from gateway.auth.principal import Principal
from gateway.engine.documents import Document, Operation
from gateway.errors import BadUserInput, StorageUnavailable
from gateway.storage.identifiers import mask_identity_numbers_in


def key_hash(key: str) -> str:
    """SHA-256 of the key, hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def request_hash(
    key: str, document: Document, operation: Operation, variables: Mapping[str, Any], principal: Principal
) -> str:
    """HMAC-SHA-256 under the key over all that makes a request the same: document, operation, its variables as sent;
    and view, purpose and narrowing, since another's reply must not come out under them. Hex."""
    given = {name: value for name, value in variables.items() if name in operation.coerce.names}
    same = (
        document.hash.hex(),
        operation.name,
        given,
        principal.access.contract,
        principal.matter,
        principal.case_number,
        principal.on_behalf_of,
        principal.organisation_uscc,
        principal.withheld,
    )
    text = json.dumps(same, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()


def masked(body: bytes) -> bytes:
    """The reply as it is kept, and therefore sent: without identity numbers."""
    found = json.loads(body)
    kept = mask_identity_numbers_in(found)
    return body if kept == found else json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def another_request() -> BadUserInput:
    """The refusal of a key that was used for something else."""
    return BadUserInput(
        "Idempotency-Key was used for another request in the last 24 hours (document, variables, purpose or"
        " registration differ); use a new key",
        "该 Idempotency-Key 在 24 小时内已用于其他请求（文档、变量、用途或登记不同），请使用新的键",
    )


def under_way() -> StorageUnavailable:
    """The refusal while the first request of that key has not ended in the time that this one has."""
    return StorageUnavailable(
        "a request with this Idempotency-Key is still under way; send it again with the same key in a moment",
        "使用该 Idempotency-Key 的请求仍在处理中，请稍后以同一键重发",
    )
