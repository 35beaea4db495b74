"""The slow, obvious executor: graphql-core's own, over plain rows that are filtered in plain Python.

In: the world, who asks, a document, variables. Out: the response as Python objects, or `Refuse`. Everything it says
stands in DESIGN.md or in the descriptions of the schema.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLSchema, execute

from gateway.storage.identifiers import node_id, organisation_uuid, parse_node_id
from tests.differential.objects import (
    TYPES,
    OutsideScope,
    connection,
    consent,
    day,
    holds,
    moment,
    position,
    record,
    snake,
    subject,
)
from tests.differential.refusals import Documents, check, cursor, order_of, search_cursor, searched
from tests.differential.sections import Sections
from tests.differential.visible import Asker, Row, Seen, is_over
from tests.differential.world import World


class Reference(Sections):
    """Answers for one asker."""

    def __init__(self, world: World, asker: Asker, schema: GraphQLSchema, documents: Documents) -> None:
        self._documents = documents
        self.reached: set[str] = set()  # coordinates that had a value
        self._seen = Seen(world, asker)
        self._rows = world.rows
        self._asker = asker
        self._schema = schema
        self._public = asker.view == "public"
        self._by_code = {row["uscc"]: row for row in self._seen.subjects.values() if row["uscc"]}
        self._sources = {row["code"]: row for row in self._rows["source"]}
        self._asked: set[tuple[str, str]] = set()  # (feed, code) at sections about which a source is asked

    def answer(
        self, text: str, name: str | None, variables: Mapping[str, Any], *, answered: bool = False
    ) -> dict[str, Any]:
        """The response. Raises Refuse. `answered`: the engine took the document for a valid one."""
        document = self._documents.get(text, answered=answered)
        check(self._schema, document, name, variables, self._asker)
        self._asked.clear()
        for again in (False, True):
            result = execute(
                self._schema, document, None, variable_values=dict(variables), operation_name=name,
                field_resolver=self._field, type_resolver=lambda value, *_: value["__typename"],
            )  # fmt: skip
            if again or not self._asker.narrowed or not self._asked:
                break
        found: dict[str, Any] = {"data": result.data}
        if result.errors:
            found["errors"] = [
                {"path": error.path, "code": getattr(error.original_error, "code", repr(error))}
                for error in result.errors
            ]
        return found

    def _field(self, source: Any, info: Any, **given: Any) -> Any:
        value = self._value(source, info, given)
        if value is not None and value != []:
            self.reached.add(f"{info.parent_type.name}.{info.field_name}")
        return value

    def _value(self, source: Any, info: Any, given: Mapping[str, Any]) -> Any:
        own: Callable[..., Any] | None = getattr(self, f"{info.parent_type.name}_{info.field_name}", None)
        if own is not None:
            return own(source, info=info, **given) if "info" in own.__code__.co_varnames else own(source, **given)
        if info.parent_type.name in TYPES.values():
            if "live" in source:
                return self._of_live_record(source, info.field_name)
            return self._of_record(source, info.field_name)
        return source[snake(info.field_name)]

    # Root ------------------------------------------------------------------------------------------------------------

    def Query_subject(self, _: Any, uscc: str) -> Any:
        return self._by_uscc(uscc)

    def Query_subjects(self, _: Any, usccs: list[str]) -> Any:
        return [self._by_uscc(uscc) for uscc in usccs]

    def _by_uscc(self, uscc: str) -> Any:
        row = self._by_code.get(uscc)
        if row is not None:
            return subject(row)
        if self._asker.narrowed:
            return OutsideScope()
        if self._public:
            return None
        return subject({"uscc": uscc, "external_id": organisation_uuid(uscc)}, on_record=False)

    def Query_node(self, _: Any, id: str) -> Any:
        letter, external = parse_node_id(id)
        if letter == "C":
            found = [row for row in self._seen.consents() if row["external_id"] == external]
            return consent(found[0]) if found else None
        rows = self._seen.subjects.values() if letter == "S" else self._seen.records
        one = next((row for row in rows if row["external_id"] == external), None)
        if one is None:
            return None
        return subject(one) if letter == "S" else record(one)

    def Query_searchSubjects(self, _: Any, query: str, filter: Any = None, **page: Any) -> Any:
        begin = searched(query)
        assert begin is not None
        given = filter or {}
        places: dict[int, tuple[int, bytes, int]] = {}
        for part in self._rows["name_part"]:
            row = self._seen.subjects.get(part["subject_id"])
            if row is None or not part["suffix"].startswith(begin) or not self._passes(row, given):
                continue
            place = (part["tier"], part["suffix"].encode(), part["subject_id"])
            places[part["subject_id"]] = min(place, places.get(part["subject_id"], place))
        ranked = sorted(places.values())
        edges = [
            {
                "cursor": f"n{tier}{base64.urlsafe_b64encode(suffix).decode().rstrip('=')}"
                + node_id("S", self._seen.subjects[key]["external_id"]),
                "node": subject(self._seen.subjects[key]),
                "place": (tier, suffix, key),
            }
            for tier, suffix, key in ranked
        ]

        def place(text: str, last: bool) -> tuple[int, bytes, float]:
            found = search_cursor(text, begin)
            assert found is not None
            key = next((k for k, row in self._seen.subjects.items() if row["external_id"] == found[2]), None)
            return found[0], found[1].encode(), key if key is not None else float("inf") if last else 0

        return connection(edges, page, place)

    def _passes(self, row: Row, given: Mapping[str, Any]) -> bool:
        kinds, roles, region = given.get("kinds"), given.get("roles"), given.get("regionCode")
        return (
            (kinds is None or row["kind"] in kinds)
            and (roles is None or bool(set(self._roles(row)) & set(roles)))
            and (region is None or self._seen.is_below(row["region_code"], region))
        )

    def Query_records(self, _: Any, **given: Any) -> Any:
        return self._records(self._seen.records, given)

    def Query_sources(self, _: Any) -> Any:
        return [self._source(row["code"]) for row in sorted(self._sources.values(), key=position)]

    def Query_viewer(self, _: Any) -> Any:
        return {"view": self._asker.contract, "client_id": None if self._public else "client"}

    def Query_codeList(self, _: Any, name: str) -> Any:
        levels = {"public": 0, "restricted": 1, "self": 1, "internal": 2}
        own = self._asker.view == "self" and name in ("RecordStatus", "SubjectKind")
        rows = [
            row
            for row in self._rows["code_label"]
            if row["list"] == name and (own or levels[row["level"].lower()] <= levels[self._asker.view])
        ]
        return [
            {**row, "valid_from": day(row["valid_from"]), "valid_to": day(row["valid_to"])}
            for row in sorted(rows, key=lambda row: (*position(row), row["valid_from"] or dt.date.max))
        ]

    def Query_matters(self, _: Any) -> Any:
        return [row for row in sorted(self._rows["matter"], key=lambda row: row["code"]) if holds(row)]

    def Matter_requiredSources(self, row: Row) -> Any:
        codes = [code for code in row["sources_required"] if code in self._sources]
        return [self._source(code) for code in sorted(codes, key=lambda code: position(self._sources[code]))]

    def Viewer_organisation(self, _: Any) -> Any:
        row = self._seen.all_subjects.get(self._seen.organisation or 0)
        return None if row is None else subject(row, authority=True)

    def Viewer_matter(self, _: Any) -> Any:
        return self._seen.matter if self._seen.matter is not None and holds(self._seen.matter) else None

    def Viewer_consents(self, _: Any, uscc: str | None = None, **page: Any) -> Any:
        rows = [row for row in self._seen.consents() if uscc is None or row["subject_uscc"] == uscc]
        return self._paged(rows, page, "c", "recorded_on", "C", consent, descending=True)

    # Subjects --------------------------------------------------------------------------------------------------------

    def Subject_id(self, row: Row) -> str:
        return node_id("S", row["external_id"])

    def Subject_formerNames(self, row: Row) -> Any:
        rows = [name for name in self._rows["former_name"] if name["subject_id"] == row.get("id")]
        return [name["name"] for name in sorted(rows, key=lambda n: (n["used_until"] or dt.date.max, n["name"]))]

    def Subject_roles(self, row: Row) -> Any:
        return self._roles(row)

    def _roles(self, row: Row) -> list[str]:
        """At present: from its first day to its last."""
        return sorted(
            role["role"] for role in self._rows["subject_role"] if role["subject_id"] == row.get("id") and holds(role)
        )

    def Subject_region(self, row: Row) -> Any:
        return self._seen.regions.get(row.get("region_code") or "")

    def Subject_name(self, row: Row) -> Any:
        return row.get("name")

    def Subject_kind(self, row: Row) -> Any:
        return row.get("kind")

    def Subject_registeredOn(self, row: Row) -> Any:
        return day(row.get("registered_on"))

    def Subject_legalRepresentative(self, row: Row) -> Any:
        name = row.get("legal_representative")
        if name is not None and row["kind"] == "INDIVIDUAL_BUSINESS" and self._asker.view != "internal":
            return name[:1] + "**"
        return name

    def Subject_identityNumber(self, row: Row) -> Any:
        found = [one["masked"] for one in self._rows["person_identity"] if one["subject_id"] == row.get("id")]
        return found[0] if found else None

    def Subject_predecessors(self, row: Row) -> Any:
        return self._linked(row, "successor_id", "predecessor_id")

    def Subject_successors(self, row: Row) -> Any:
        return self._linked(row, "predecessor_id", "successor_id")

    def _linked(self, row: Row, here: str, there: str) -> Any:
        ids = sorted(link[there] for link in self._rows["succession"] if link[here] == row.get("id"))
        return [subject(self._seen.subjects[key]) for key in ids if key in self._seen.subjects]

    def Subject_records(self, row: Row, **given: Any) -> Any:
        return self._records(self._seen.records_of.get(row.get("id", 0), []), given)

    def Subject_recordCounts(self, row: Row) -> Any:
        counts: dict[tuple[str, str], int] = {}
        for one in self._seen.records_of.get(row.get("id", 0), []):
            key = one["area"], one["kind"]
            counts[key] = counts.get(key, 0) + 1
        return [{"area": area, "kind": kind, "count": counts[area, kind]} for area, kind in sorted(counts)]

    def Subject_withdrawals(self, row: Row) -> Any:
        rows = [
            one
            for one in self._rows["withdrawal"]
            if one["subject_id"] == row.get("id")
            and one["subject_id"] in self._seen.subjects
            and self._seen.authority(one)
        ]
        return [
            {"withdrawn_on": day(one["withdrawn_on"]), "reason": one["reason"], "authority": self._authority(one)}
            for one in sorted(rows, key=lambda one: (one["withdrawn_on"], one["authority_id"], one["reason"]))
        ]

    def _authority(self, row: Row) -> Any:
        found = self._seen.authority(row)
        return None if found is None else subject(found, authority=True)

    # Records ---------------------------------------------------------------------------------------------------------

    def _records(self, rows: Sequence[Row], given: Mapping[str, Any]) -> Any:
        field, direction = order_of(given)
        column, letter = ("published_from", "p") if field == "PUBLISHED_FROM" else ("decided_on", "d")
        chosen = [row for row in rows if self._chosen(row, given.get("filter") or {})]
        return self._paged(chosen, given, letter, column, "R", record, descending=direction == "DESC")

    def _chosen(self, row: Row, given: Mapping[str, Any]) -> bool:
        values = {
            "kinds": row["kind"],
            "areas": row["area"],
            "statuses": self._status(row),
            "severities": row["severity"],
        }
        if any(given.get(name) is not None and value not in given[name] for name, value in values.items()):
            return False
        if given.get("decidedFrom") is not None and row["decided_on"] < given["decidedFrom"]:
            return False
        if given.get("decidedTo") is not None and row["decided_on"] > given["decidedTo"]:
            return False
        region = given.get("regionCode")
        return region is None or self._seen.is_below(self._seen.all_subjects[row["subject_id"]]["region_code"], region)

    def _paged(
        self, rows: Sequence[Row], page: Mapping[str, Any], letter: str, column: str, kind: str,
        made: Callable[[Row], Row], *, descending: bool,
    ) -> Any:  # fmt: skip
        ordered = sorted(rows, key=lambda row: (row[column], row["external_id"]), reverse=descending)
        edges = [
            {
                "cursor": f"{letter}{row[column].isoformat()}{node_id(kind, row['external_id'])}",
                "node": made(row),
                "place": (row[column], row["external_id"]),
            }
            for row in ordered
        ]
        return connection(edges, page, lambda text, _: cursor(text, letter, kind), descending=descending)

    @staticmethod
    def _status(row: Row) -> str:
        return "EXPIRED" if row["status"] in ("ACTIVE", "CORRECTED") and is_over(row) else str(row["status"])

    def _of_record(self, row: Row, name: str) -> Any:
        match name:
            case "id":
                return node_id("R", row["external_id"])
            case "subject":
                return subject(self._seen.subjects[row["subject_id"]])
            case "authority":
                return self._authority(row)
            case "source":
                return self._source(row["source_code"])
            case "status":
                return self._status(row)
            case "history":
                return self._history(row)
            case "decidedOn" | "publishedFrom" | "publishedUntil" | "repairableFrom":
                return day(row[snake(name)])
            case "basis" | "amount" | "facts" if self._public and row["kind"] in (
                "DISCIPLINARY_ACTION",
                "ACCOUNTABILITY",
            ):
                return None
            case "amount":
                return None if row["amount"] is None else f"{row['amount']:.2f}"
        column = snake(name)
        return row[column] if column in row else row["detail"].get(column)

    def _history(self, row: Row) -> Any:
        versions = sorted(
            (one for one in self._rows["record_version"] if one["record_id"] == row["id"]),
            key=lambda one: one["version"],
        )
        known = {one["version"]: one["known_at"] for one in versions}
        return [
            {
                **one,
                "known_from": moment(one["known_at"]),
                "known_until": moment(known.get(one["version"] + 1)),
                "received_at": moment(one["received_at"]),
            }
            for one in versions
        ]

    def _source(self, code: str) -> Any:
        health = next((row for row in self._rows["source_health"] if row["source_code"] == code), None)
        return {
            **self._sources[code],
            "healthy": True if health is None else health["healthy"],
            "last_answer_at": moment(None if health is None else health["last_answer_at"]),
        }

    # Consents --------------------------------------------------------------------------------------------------------

    def Consent_id(self, row: Row) -> str:
        return node_id("C", row["external_id"])

    def Consent_uscc(self, row: Row) -> Any:
        return row["subject_uscc"]

    def Consent_subject(self, row: Row) -> Any:
        found = self._by_code.get(row["subject_uscc"])
        return None if found is None else subject(found)

    def Consent_grantee(self, row: Row) -> Any:
        found = [one for one in self._seen.authorities.values() if one["uscc"] == row["grantee_uscc"]]
        return subject(found[0], authority=True) if found else None

    def Consent_validFrom(self, row: Row) -> Any:
        return day(row["valid_from"])

    def Consent_validTo(self, row: Row) -> Any:
        return day(row["valid_to"])

    def Consent_recordedAt(self, row: Row) -> Any:
        return moment(row["recorded_at"])

    def Consent_documentSha256(self, row: Row) -> Any:
        return row["document_sha256"]

    def Consent_revokedAt(self, row: Row) -> Any:
        return moment(self._revocation(row).get("revoked_at"))

    def Consent_revokedBy(self, row: Row) -> Any:
        return self._revocation(row).get("revoked_by")

    def Consent_revocationReason(self, row: Row) -> Any:
        return self._revocation(row).get("reason")

    def _revocation(self, row: Row) -> Row:
        found = (one for one in self._rows["consent_revocation"] if one["consent_id"] == row["id"])
        return next(found, {})
