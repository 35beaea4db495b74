"""A peer's answers: the documents that it serves, what they select, GraphQL errors, and answers that are false.

In: subjects of sandbox/peer_data.py, the variables, and the fault that the call meets. Out: the JSON value of the
response, exactly what the document selects and nothing else. No I/O but reading the documents, once.
sandbox/peer_region.py calls it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import FieldNode, OperationDefinitionNode, parse

from sandbox.faults import Fault
from sandbox.oauth import TOKEN, TOKEN_FAULTS
from sandbox.peer_data import NO_COURTS, PeerData, PeerSubject, make_record
from sandbox.subjects import Row, other_uscc
from sandbox.upstream import without, wrong_in
from sandbox.wire import Answer

PAGE_RECORDS = 100
SUBJECTS, PAGE = "subjects", "page"
SERVICES = (SUBJECTS, PAGE)
GRAPHQL = "application/graphql-response+json"

# Errors of the request, without data: name of the fault → (HTTP status, code).
ERRORS: Mapping[str, tuple[int, str]] = {
    "bad_user_input": (400, "BAD_USER_INPUT"),
    "document_not_found": (400, "PERSISTED_DOCUMENT_NOT_FOUND"),
    "unauthenticated": (401, "UNAUTHENTICATED"),
    "forbidden": (403, "FORBIDDEN"),
    "rate_limited": (429, "RATE_LIMITED"),
    "storage_unavailable": (503, "STORAGE_UNAVAILABLE"),
}


@dataclass(frozen=True)
class Document:
    """A document as it is served: the only operation in it, by the hash of its bytes."""

    service: str
    operation: OperationDefinitionNode

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.operation.name.value if self.operation.name is not None else ""


def load_documents() -> dict[str, Document]:
    """The documents of the contract by the SHA-256 of their bytes, which is their version."""
    folder = Path(__file__).parent / "documents"
    found = {}
    for service, name in ((SUBJECTS, "peer.graphql"), (PAGE, "peer-page.graphql")):
        body = (folder / name).read_bytes()
        [operation] = parse(body.decode("utf-8")).definitions
        assert isinstance(operation, OperationDefinitionNode)
        found[hashlib.sha256(body).hexdigest()] = Document(service, operation)
    return found


def error(status: int, code: str, message: str) -> Answer:
    """An error of the request in GraphQL's form, without data."""
    body = {"errors": [{"message": message, "extensions": {"code": code}}]}
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}
    return Answer(body, status, headers, GRAPHQL)


def bad_input(message: str) -> Answer:
    """The error of a request that asks what may not be asked."""
    return error(*ERRORS["bad_user_input"], message)


def refused_by(fault: Fault | None) -> Answer | None:
    """The error that a fault asks for; None where it asks for none."""
    if fault is None or fault.fault not in ERRORS:
        return None
    return error(*ERRORS[fault.fault], fault.text or "示例错误")


# --- cursors


@dataclass(frozen=True)
class Cursor:
    """A place in a subject's records. `mode` is a paging fault that goes on where a page under it ended."""

    uscc: str
    offset: int
    mode: str = ""

    def text(self) -> str:
        """The opaque text of the cursor."""
        packed = json.dumps([self.uscc, self.offset, self.mode]).encode()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def cursor_of(text: str, uscc: str) -> Cursor | None:
    """The cursor that a text is, None where it is none of this subject's."""
    try:
        found = Cursor(*json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (ValueError, TypeError, RecursionError):
        return None
    return found if found.uscc == uscc and found.text() == text else None


# --- true answers, whole; what the document doesn't select is left out at the end


def subjects_answer(
    document: Document, data: PeerData, region: Row, usccs: Sequence[str], fault: Fault | None
) -> Answer:
    """The answer about some subjects, in their order."""
    found = [None if data.refuses(uscc) else _subject(data, region, uscc, fault) for uscc in usccs]
    return _answer(document, {"subjects": found}, fault)


def page_answer(
    document: Document, data: PeerData, region: Row, uscc: str, after: Cursor, fault: Fault | None
) -> Answer:
    """The answer about one subject's further records."""
    found = None if data.refuses(uscc) else _subject(data, region, uscc, fault, after)
    return _answer(document, {"subject": found}, fault)


def _answer(document: Document, data: Row, fault: Fault | None) -> Answer:
    body: Row = {"data": _selected(document.operation, data)}  # a copy: what the peer knows stays true
    if fault is not None and (spoil := _SPOILED.get(fault.fault)) is not None:
        spoil(body, fault)
    return Answer(body, content_type=GRAPHQL)


def _selected(node: OperationDefinitionNode | FieldNode, value: Any) -> Any:
    """What a selection takes out of a value: no key that the document does not name, none missing."""
    if value is None or node.selection_set is None:
        return value
    if isinstance(value, list):
        return [_selected(node, item) for item in value]
    fields = [field for field in node.selection_set.selections if isinstance(field, FieldNode)]
    return {field.name.value: _selected(field, value[field.name.value]) for field in fields}


def _subject(data: PeerData, region: Row, uscc: str, fault: Fault | None, after: Cursor | None = None) -> Row:
    known, mode = data.of(uscc), after.mode if after is not None else ""
    if fault is not None and fault.uscc in (None, uscc):
        if fault.fault in _ENDLESS:
            mode = fault.fault
        if known is None and fault.fault in _OF_RECORDS:
            known = PeerSubject(uscc, "示例单位", "ENTERPRISE", [make_record(uscc, 0)])
    offset = after.offset if after is not None else 0
    if mode:
        known = PeerSubject(uscc, "示例单位", "ENTERPRISE")
        records = _ENDLESS[mode](uscc, offset, after)
    else:
        records = _connection(uscc, known.records if known is not None else [], offset)
    return {
        "uscc": uscc,
        "onRecord": known is not None,
        "name": known.name if known is not None else None,
        "kind": known.kind if known is not None else None,
        "region": None if known is None else known.region or region,
        "records": records,
        "courts": NO_COURTS if known is None else known.courts,
    }


def _connection(uscc: str, records: Sequence[Row], offset: int) -> Row:
    piece = records[offset : offset + PAGE_RECORDS]
    end = offset + len(piece)
    return _page(len(records), piece, end < len(records), Cursor(uscc, end).text() if piece else None)


def _page(total: int, records: Sequence[Row], more: bool, end: str | None) -> Row:
    return {
        "totalCount": total,
        "pageInfo": {"hasNextPage": more, "endCursor": end},
        "edges": [{"node": record} for record in records],
    }


# --- faults of the paging: the cursor carries them on


def _endless_pages(uscc: str, offset: int, after: Cursor | None) -> Row:
    # Every page is full and new, and says that one more follows.
    end = offset + PAGE_RECORDS
    return _page(end + PAGE_RECORDS, _filler(uscc, offset), True, Cursor(uscc, end, "endless_pages").text())


def _empty_pages(uscc: str, offset: int, after: Cursor | None) -> Row:
    # Nothing on them, and always one more.
    return _page(PAGE_RECORDS, [], True, Cursor(uscc, offset + 1, "empty_pages").text())


def _repeated_cursor(uscc: str, offset: int, after: Cursor | None) -> Row:
    # The second page ends where the first one ended.
    end = after if after is not None else Cursor(uscc, PAGE_RECORDS, "repeated_cursor")
    return _page(3 * PAGE_RECORDS, _filler(uscc, offset), True, end.text())


def _filler(uscc: str, start: int) -> list[Row]:
    return [make_record(uscc, index) for index in range(start, start + PAGE_RECORDS)]


_ENDLESS: Mapping[str, Callable[[str, int, Cursor | None], Row]] = {
    "endless_pages": _endless_pages,
    "empty_pages": _empty_pages,
    "repeated_cursor": _repeated_cursor,
}


# --- faults of the answer; those of elements meet the fault's `uscc`, or every one


def _elements(body: Row, fault: Fault) -> list[Row]:
    data = body["data"]
    found = data["subjects"] if "subjects" in data else [data["subject"]]
    return [each for each in found if each is not None and fault.uscc in (None, each.get("uscc", fault.uscc))]


def _nodes(body: Row, fault: Fault) -> list[Row]:
    return [edge["node"] for each in _elements(body, fault) for edge in each["records"]["edges"]]


def _errors_with_data(body: Row, fault: Fault) -> None:
    body["errors"] = [{"message": fault.text or "示例错误", "path": ["subjects"], "extensions": {"code": "INTERNAL"}}]


def _execution_error(body: Row, fault: Fault) -> None:
    # Status 200, and nothing but an error.
    _errors_with_data(body, fault)
    body["data"] = None


def _wrong_length(body: Row, fault: Fault) -> None:
    found = body["data"]["subjects"]
    if len(found) > 1:
        found.pop()
    else:
        found *= 2


def _wrong_order(body: Row, fault: Fault) -> None:
    found = body["data"]["subjects"]
    found.reverse()
    if len({each["uscc"] for each in found if each is not None}) < 2:
        _foreign_subject(body, fault)  # what is alone has no order


def _null_element(body: Row, fault: Fault) -> None:
    found = body["data"]["subjects"]
    found[:] = [None if each is not None and fault.uscc in (None, each["uscc"]) else each for each in found]


def _foreign_subject(body: Row, fault: Fault) -> None:
    for each in _elements(body, fault):
        each["uscc"] = other_uscc(each["uscc"])


def _other_region(body: Row, fault: Fault) -> None:
    for each in _elements(body, fault):
        each["region"] = {"code": fault.text or "650100", "name": "示例他州"}


def _wrong_total(body: Row, fault: Fault) -> None:
    for each in _elements(body, fault):
        each["records"]["totalCount"] += 1


def _repeated_record(body: Row, fault: Fault) -> None:
    for each in _elements(body, fault):
        each["records"]["edges"] += deepcopy(each["records"]["edges"][-1:])
        each["records"]["totalCount"] += 1


def _in_nodes(key: str, wrong: str) -> Callable[[Row, Fault], None]:
    def spoil(body: Row, fault: Fault) -> None:
        for node in _nodes(body, fault):
            node[key] = fault.text or wrong

    return spoil


def _unknown_kind(body: Row, fault: Fault) -> None:
    for node in _nodes(body, fault):
        node |= {"kind": fault.text or "RUMOUR", "__typename": "Rumour"}


def _missing_key(body: Row, fault: Fault) -> None:
    without(body, fault.key or "records")


def _wrong_type(body: Row, fault: Fault) -> None:
    wrong_in(body, fault.key or "edges")


_OF_SUBJECTS: Mapping[str, Callable[[Row, Fault], None]] = {
    "wrong_length": _wrong_length,
    "wrong_order": _wrong_order,
    "null_element": _null_element,
    "foreign_subject": _foreign_subject,
    "other_region": _other_region,
    "wrong_total": _wrong_total,
    "repeated_record": _repeated_record,
}
_OF_BOTH: Mapping[str, Callable[[Row, Fault], None]] = {
    "errors_with_data": _errors_with_data,
    "execution_error": _execution_error,
    "unknown_kind": _unknown_kind,
    "unknown_status": _in_nodes("status", "HIDDEN"),
    "bad_date": _in_nodes("decidedOn", "2017-13-45"),
    "bad_amount": _in_nodes("amount", "1,200.00"),
    "missing_key": _missing_key,
    "wrong_type": _wrong_type,
}
_SPOILED = {**_OF_SUBJECTS, **_OF_BOTH}
# These need a record to be false about, and a subject on record.
_OF_RECORDS = {"unknown_kind", "unknown_status", "bad_date", "bad_amount", "other_region", "repeated_record"}
# Which services each of the peer's own faults makes sense for.
ANSWER_FAULTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*TOKEN_FAULTS, "matter_refused", "wrong_scope"), (TOKEN,)),
    **dict.fromkeys((*ERRORS, *_ENDLESS, *_OF_BOTH), SERVICES),
    **dict.fromkeys(_OF_SUBJECTS, (SUBJECTS,)),
    **dict.fromkeys(("token_refused", "missing_key", "wrong_type"), (TOKEN, *SERVICES)),
}
