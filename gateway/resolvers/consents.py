"""Consents: which ones a client sees, how one is recorded and how it is revoked.

In: arguments of fields and of mutations. Out: rows, or the change with what its refusals mean. Who may do what is
decided by the functions in storage/writes.py; what is checked here is the form, and that the asker speaks for itself.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from gateway.engine.bindings import Condition, Rows
from gateway.engine.changes import Change, Own, Refusal, written
from gateway.engine.values import Arguments, Constant, Value
from gateway.errors import BadUserInput, ClientError, Forbidden
from gateway.resolvers import paging
from gateway.resolvers.subjects import key_of
from gateway.storage.identifiers import id_of, mask_identity_numbers
from gateway.storage.writes import MOST_YEARS

MOST_SCOPES = 20
MOST_REASON = 500  # characters
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def listed(arguments: Arguments) -> Rows:
    """Viewer.consents: of the client's organisation, or about the account's own subject; newest first."""
    subject = arguments.value("uscc")
    return Rows(
        "consent",
        where=() if subject is None else (Condition("uscc", "=", (subject,)),),
        about=None if subject is None else key_of(subject),
        order="recorded_desc",
        page=paging.page(arguments, "c", "recorded_on", descending=True),
    )


def changed(_: Arguments) -> Rows:
    """The consent that a mutation has recorded or revoked."""
    return Rows("consent", where=(Condition("external_id", "=", (written("consent", "uuid"),)),))


def subject(_: Arguments) -> Rows:
    """Consent.subject."""
    return Rows("subject", match=(("uscc", "uscc"),))


def grantee(_: Arguments) -> Rows:
    """Consent.grantee: an organisation, which narrowing does not hide."""
    return Rows("authority", match=(("grantee_uscc", "uscc"),))


# Changes -------------------------------------------------------------------------------------------------------------


def record(arguments: Arguments) -> Change:
    """Mutation.recordConsent."""
    given = arguments.object("input")
    return Change(
        "record_consent",
        (
            _of(given, "uscc"),
            _of(given, "scope").typed("text[]", _scopes),
            _of(given, "validFrom").typed("date"),
            _of(given, "validTo").typed("date"),
            _of(given, "documentSha256").typed("text", _sha256),
            _of(given, "method"),
        ),
        {
            "PERIOD": _refusal("validTo is before validFrom; correct the days", "validTo 早于 validFrom，请改正日期"),
            "ENDED": _refusal(
                "validTo is in the past; record a consent that still holds", "validTo 已过，请提交仍在有效期内的授权"
            ),
            "TOO_LONG": _refusal(
                f"a consent holds {MOST_YEARS} years at most; shorten its term and have it given anew afterwards",
                f"授权有效期最长 {MOST_YEARS} 年，请缩短期限，到期后重新取得授权",
            ),
            "SCOPE": _refusal(
                'scope has a code that is not known; codeList(name: "ConsentScope") has those that are',
                'scope 含有未知代码，可用代码见 codeList(name: "ConsentScope")',
            ),
            "OUTSIDE": _outside,
        },
        _not_by_subject,
        own=(
            Own(_of(given, "granteeUscc"), "organisation_uscc", _other_grantee),
            Own(_of(given, "matter"), "matter", _other_matter),
        ),
    )


def revoke(arguments: Arguments) -> Change:
    """Mutation.revokeConsent: by the grantee's clients and by the subject's own account; twice is as good as once."""
    given = arguments.object("input")
    reason = given.value("reason") or Value(Constant(None))
    return Change(
        "revoke_consent",
        (_of(given, "consentId").typed("uuid", consent_id), reason.typed("text", _reason)),
        {"CONSENT": _no_consent},
        _no_consent,
    )


def _of(given: Arguments, name: str) -> Value:
    value = given.value(name)
    assert value is not None  # required by the schema
    return value


def _refusal(en: str, zh: str) -> Refusal:
    return lambda: BadUserInput(en, zh)


def _outside() -> ClientError:
    return Forbidden(
        "uscc is not within the scope of this client, or not on record; ask the operator to widen its registration",
        "uscc 不在本客户端的授权范围内，或无记录；如需扩大范围请联系运维人员",
    )


def _other_grantee() -> ClientError:
    return Forbidden(
        "granteeUscc must be the client's own organisation; a consent is recorded by whoever may ask under it",
        "granteeUscc 必须是本客户端所属单位；授权只能由被授权单位录入",
    )


def _other_matter() -> ClientError:
    return BadUserInput(
        "matter differs from the matter of this request; give the same in the token or in Credit-Purpose",
        "matter 与本次请求的事项不一致，请与令牌或 Credit-Purpose 中的事项保持一致",
    )


def _not_by_subject() -> ClientError:
    return Forbidden(
        "a subject's own account records no consent, the organisation that asks does; the account sees and revokes it",
        "主体账户不录入授权，由查询单位录入；主体账户可以查看和撤销",
    )


def _no_consent() -> ClientError:
    return Forbidden(
        "no such consent, or not one of this client's; take an id from viewer { consents }",
        "没有该授权，或不属于本客户端，请使用 viewer { consents } 中的 id",
    )


def consent_id(text: Any) -> uuid.UUID:
    """The UUID in a consent's node id. Raises BadUserInput."""
    external_id = id_of("C", text)
    if external_id is None:
        raise BadUserInput(
            "consentId is not the id of a consent; take one from recordConsent or viewer { consents }",
            "consentId 不是授权的标识，请使用 recordConsent 或 viewer { consents } 给出的 id",
        )
    return external_id


def _scopes(scope: Any) -> list[str]:
    found = list(dict.fromkeys(scope))
    if not 1 <= len(found) <= MOST_SCOPES or not all(0 < len(code) <= 40 and code.isascii() for code in found):
        raise BadUserInput(
            f'scope must have from 1 to {MOST_SCOPES} codes; take them from codeList(name: "ConsentScope")',
            f'scope 必须包含 1 到 {MOST_SCOPES} 个 codeList(name: "ConsentScope") 中的代码',
        )
    return found


def _sha256(text: Any) -> str:
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise BadUserInput(
            "documentSha256 is no SHA-256; give that of the signed document, 64 hexadecimal digits",
            "documentSha256 必须是授权文件的 SHA-256：64 位十六进制数字",
        )
    return text.lower()


def _reason(text: Any) -> str | None:
    if text is None or not text.strip():
        return None
    if len(text) > MOST_REASON:
        raise BadUserInput(
            f"reason may have at most {MOST_REASON} characters; shorten it", f"reason 最多 {MOST_REASON} 个字符，请缩短"
        )
    return mask_identity_numbers(text)
