"""The root: what can be asked, and who asks."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.resolvers import changes as change_rows
from gateway.resolvers import consents as consent_rows
from gateway.resolvers import disclosures as disclosure_rows
from gateway.resolvers import entities as entity_rows
from gateway.resolvers import persons as person_rows
from gateway.resolvers import records as record_rows
from gateway.resolvers import reference, search
from gateway.resolvers import subjects as subject_rows
from gateway.schema.changes import Areas, Bookmark, RecordChangeConnection, Usccs
from gateway.schema.consents import ConsentConnection
from gateway.schema.disclosures import DisclosureConnection
from gateway.schema.enums import View
from gateway.schema.federation import Entity, Service, entities
from gateway.schema.fields import I, P, R, by_engine, column, empty, of_principal, of_schema, related
from gateway.schema.paging import After, Before, First, Last
from gateway.schema.scalars import Date, Uscc
from gateway.schema.sources import Source
from gateway.schema.subjects import (
    CreditRecordConnection,
    Filter,
    Node,
    Order,
    Subject,
    SubjectConnection,
    SubjectFilter,
)


@strawberry.type(description="A code with its labels")
class CodeLabel:
    code: str = column("code", "The code", P)
    zh: str = column("zh", "Chinese label", P)
    en: str = column("en", "English label", P)
    valid_from: Date | None = column("valid_from", "First day on which it holds", P)
    valid_to: Date | None = column("valid_to", "Last day on which it holds", P)


@strawberry.type(description="What a department asks for: its legal basis decides what it gets")
class Matter:
    code: str = column("code", "Its code", R)
    name: str = column("name", "Its name", R)
    legal_basis: str = column("legal_basis", "Its legal basis", R)
    required_sources: list[Source] = related(reference.required_sources, "Sources without which there is no verdict", R)


def _consents(
    uscc: Annotated[Uscc | None, strawberry.argument(description="Of this subject alone")] = strawberry.UNSET,
    first: First = 20,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
) -> ConsentConnection:
    by_engine()


def _disclosures(
    subject: Annotated[
        strawberry.ID | None,
        strawberry.argument(
            description="Whose; an account may leave it out, and a case whose recorded requests are of one subject"
        ),
    ] = strawberry.UNSET,
    first: First = 20,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
) -> DisclosureConnection:
    by_engine()


@strawberry.type(description="Who asks")
class Viewer:
    view: View = of_principal("view", "The view in which this request is answered", P, kind="code", null=False)
    client_id: str | None = of_principal("client_id", "The client; null for the public", P)
    organisation: Subject | None = related(subject_rows.own_organisation, "The client's organisation", P)
    matter: Matter | None = related(reference.own_matter, "What the request is for", R)
    consents: ConsentConnection = related(
        consent_rows.listed,
        "Consents given to the client's organisation, or by the account's own subject; newest first",
        R,
        arguments=_consents,
    )
    disclosures: DisclosureConnection = related(
        disclosure_rows.listed,
        "To whom a subject was shown, newest first: of the account's own, or, for an authority that acts on a recorded"
        " access request, of the subject in it. FORBIDDEN without one",
        R,
        arguments=_disclosures,
    )


def _node(id: Annotated[strawberry.ID, strawberry.argument(description="An id that this gateway gave")]) -> Node | None:
    by_engine()


def _subject(
    uscc: Annotated[Uscc, strawberry.argument(description="统一社会信用代码")],
) -> Subject | None:
    by_engine()


def _subjects(
    usccs: Annotated[list[Uscc], strawberry.argument(description="Codes, at most 1,000; in the public view 20")],
) -> list[Subject | None]:
    by_engine()


def _person(
    identity_number: Annotated[
        str, strawberry.argument(description="居民身份证号码 (GB 11643), in the variables of a POST alone")
    ],
    name: Annotated[str, strawberry.argument(description="The person's name")],
) -> Subject | None:
    by_engine()


def _search_subjects(
    query: Annotated[
        str,
        strawberry.argument(
            description="Two characters or more of a name it has or had, or with which its code begins"
        ),
    ],
    filter: Annotated[SubjectFilter | None, strawberry.argument(description="Which subjects; all without it")] = (
        strawberry.UNSET
    ),
    first: First = 20,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
) -> SubjectConnection:
    by_engine()


def _records(
    filter: Filter = strawberry.UNSET,
    order_by: Order = strawberry.UNSET,
    first: First = 20,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
) -> CreditRecordConnection:
    by_engine()


def _record_changes(
    usccs: Usccs = strawberry.UNSET,
    areas: Areas = strawberry.UNSET,
    first: First = 20,
    after: Bookmark = strawberry.UNSET,
) -> RecordChangeConnection:
    by_engine()


def _code_list(
    name: Annotated[str, strawberry.argument(description="Name of an enum, or of a code table such as UsccPrefix")],
) -> list[CodeLabel]:
    by_engine()


@strawberry.type(description="Questions")
class Query:
    node: Node | None = related(reference.node, "What an id stands for; null: unknown or hidden", P, arguments=_node)
    subject: Subject | None = related(
        subject_rows.by_uscc,
        "A subject by its code. One that is not on record: null in PUBLIC, above it a Subject with onRecord false",
        P,
        arguments=_subject,
    )
    subjects: list[Subject | None] = related(
        subject_rows.by_usccs, "Subjects in the order asked, each as by subject", P, arguments=_subjects
    )
    person: Subject | None = related(
        person_rows.by_number,
        "A natural person or civil servant by identity number and name, where the matter allows it. Null: unknown, not"
        " of that name, or hidden",
        I,
        arguments=_person,
        secret=("identityNumber", "name"),
    )
    search_subjects: SubjectConnection = related(
        search.by_name,
        "Subjects by name, as far as the view has them: the exact name or code first, then what begins with it, then"
        " what has it inside. Half and full width, spaces, 有限责任公司 and 有限公司 and the like make no difference",
        P,
        arguments=_search_subjects,
    )
    records: CreditRecordConnection = related(
        record_rows.everywhere, "Records of all subjects, as far as the view has them", P, arguments=_records
    )
    record_changes: RecordChangeConnection = related(
        change_rows.listed,
        "Changes of records, withdrawals included, in one order without a gap: who has read to a cursor has missed"
        " nothing before it",
        P,
        arguments=_record_changes,
    )
    sources: list[Source] = related(reference.sources, "The sources of credit information", P)
    viewer: Viewer = empty("Who asks", P)
    code_list: list[CodeLabel] = related(
        reference.code_list, "A code list with its labels in Chinese and English", P, arguments=_code_list
    )
    matters: list[Matter] = related(reference.matters, "What can be asked for", R)
    service: Service = of_schema("This subgraph, for composers", P, name="_service")
    entities: list[Entity | None] = related(
        entity_rows.by_representations(joint=False),
        "For routers: entities by their keys, in the order asked, each as by subject. Ask by subjects instead",
        P,
        arguments=entities,
        name="_entities",
    )
