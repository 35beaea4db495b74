"""What sections of sources take: the consent under which a source may be asked."""

from __future__ import annotations

from typing import Any

from gateway.errors import BadUserInput
from gateway.storage.identifiers import parse_node_id

CONSENT_LETTER = "C"


def consent_uuid(text: Any) -> str | None:
    """The UUID in a consent's id, as text; None for a well-formed id of anything else, which is no consent."""
    try:
        letter, found = parse_node_id(text)
    except ValueError:
        raise BadUserInput(
            "consentId is not an id of this gateway; take the one that recordConsent gave",
            "consentId 不是本系统的标识，请使用 recordConsent 返回的值",
        ) from None
    return str(found) if letter == CONSENT_LETTER else None
