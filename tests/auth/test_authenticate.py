"""Promise: a Principal is what the registration allows at this moment; a verdict dies with whatever it stands on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from auth_support import (
    ENTERPRISE,
    HEADER,
    NOBODY,
    NOW,
    ORGAN,
    PURPOSE,
    Setting,
    in_memory_client,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.authenticate import decide
from gateway.auth.clients import SCOPES, Matter
from gateway.auth.principal import ANONYMOUS
from gateway.auth.purpose import Purpose
from gateway.auth.tokens import AccessToken
from gateway.errors import (
    BadUserInput,
    ClientError,
    Forbidden,
    MatterNotGranted,
    PurposeRequired,
    Unauthenticated,
)
from gateway.storage.levels import INTERNAL, PUBLIC, RESTRICTED, RESTRICTED_SCOPED, SELF


async def test_no_token_and_no_purpose_is_anonymous(setting: Setting) -> None:
    assert await setting.authenticator.authenticate(None, None) is ANONYMOUS
    assert setting.authenticator.cached(None, None) is ANONYMOUS


@pytest.mark.parametrize("purpose", [HEADER, "nonsense", ""])
async def test_a_purpose_without_a_token_is_never_anonymous(setting: Setting, purpose: str) -> None:
    """The client has lost its token on the way: the public's answer would read to it as if there were no more."""
    assert setting.authenticator.cached(None, purpose) is None
    with pytest.raises(Unauthenticated, match="Credit-Purpose needs an access token"):
        await setting.authenticator.authenticate(None, purpose)


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "x", "Bearer a b", "Bearer é"])
async def test_a_bad_token_is_never_anonymous(setting: Setting, text: str) -> None:
    assert setting.authenticator.cached(text, None) is None
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(text, HEADER)


async def principal(setting: Setting, client_id: str, scope: str, details: Any = PURPOSE, header: str | None = None):  # type: ignore[no-untyped-def]
    token = await setting.token(client_id, scope, details)
    return await setting.authenticator.authenticate(f"Bearer {token}", header)


async def test_restricted(setting: Setting) -> None:
    await setting.client("r")
    found = await principal(setting, "r", "view:restricted")
    assert (found.access, found.client_id, found.organisation_uscc) == (RESTRICTED, "r", ORGAN)
    assert (found.matter, found.case_number, found.scope, found.withheld) == ("GRANT", "2026-11", None, "{}")
    assert {"LOCAL", "COURTS", "BANKS"} <= found.sources


async def test_a_matter_that_opens_something_is_read_under_a_scope(setting: Setting) -> None:
    await setting.client("debt", matters=("DEBT", "GRANT"))
    found = await principal(setting, "debt", "view:restricted", [PURPOSE[0] | {"matter": "DEBT"}])
    assert found.access is RESTRICTED_SCOPED
    assert json.loads(found.scope or "")["matter"] == "DEBT"


async def test_a_narrowed_client_is_read_under_a_scope(setting: Setting) -> None:
    await setting.client("narrow", kinds=("ENTERPRISE",), list="grants-2026")
    found = await principal(setting, "narrow", "view:restricted")
    narrowing = {"kinds": ["ENTERPRISE"], "list": "grants-2026"}
    assert found.access is RESTRICTED_SCOPED
    assert json.loads(found.withheld) == narrowing
    scope = json.loads(found.scope or "")
    assert isinstance(scope.pop("organisation"), int)
    uscc = found.organisation_uscc
    assert scope == narrowing | {"client": "narrow", "uscc": uscc, "matter": "GRANT", "case": found.case_number}
    assert found.own_scope is None
    assert found.under_scope() is found


async def test_who_asks_in_the_restricted_view_is_known_where_a_scope_is_needed(setting: Setting) -> None:
    await setting.client("unscoped")
    found = await principal(setting, "unscoped", "view:restricted")
    assert (found.access, found.scope) == (RESTRICTED, None)
    under = found.under_scope()
    assert (under.access, under.view, under.narrowed) == (RESTRICTED_SCOPED, "RESTRICTED", False)
    scope = json.loads(under.scope or "")
    assert isinstance(scope.pop("organisation"), int)
    uscc = found.organisation_uscc
    assert scope == {"client": "unscoped", "uscc": uscc, "matter": "GRANT", "case": found.case_number}


async def test_internal_and_an_organisation_that_is_not_on_record(setting: Setting) -> None:
    both = ("view:restricted", "view:internal")
    await setting.client("i", scopes=both)
    await setting.client("i-nobody", scopes=both, organisation_uscc=NOBODY)
    found = await principal(setting, "i", "view:restricted view:internal")
    assert found.access is INTERNAL
    asker = {"client", "uscc", "matter", "case"}
    assert set(json.loads(found.scope or "")) == asker | {"organisation"}
    unknown = await principal(setting, "i-nobody", "view:internal")
    assert set(json.loads(unknown.scope or "")) == asker


async def test_a_token_without_a_view_is_public_and_known(setting: Setting) -> None:
    await setting.client("p")
    found = await principal(setting, "p", "", None)
    assert (found.access, found.client_id, found.sources) == (PUBLIC, "p", frozenset())
    assert found.matter is None


async def test_a_subjects_own_account(setting: Setting) -> None:
    own = {"scopes": ("subject:self",), "matters": ("SELF",)}
    await setting.client("own", subject_uscc=ENTERPRISE, **own)
    await setting.client("own-nobody", subject_uscc=NOBODY, **own)
    found = await principal(setting, "own", "subject:self", None)
    assert (found.access, found.matter, found.case_number) == (SELF, "SELF", "SELF")
    assert isinstance(json.loads(found.scope or "")["subject"], int)
    named = await principal(setting, "own", "subject:self", None, 'matter="SELF", case="7"')
    assert named.case_number == "7"
    with pytest.raises(MatterNotGranted):
        await principal(setting, "own", "subject:self", None, HEADER)
    with pytest.raises(Forbidden):
        await principal(setting, "own-nobody", "subject:self", None)


async def test_the_purpose(setting: Setting) -> None:
    await setting.client("why")
    with pytest.raises(PurposeRequired):
        await principal(setting, "why", "view:restricted", None)
    found = await principal(setting, "why", "view:restricted", None, HEADER)
    assert (found.matter, found.case_number) == ("GRANT", "2026-11")
    assert (await principal(setting, "why", "view:restricted", PURPOSE, HEADER)).matter == "GRANT"
    for header in ('matter="GRANT", case="2026-12"', 'matter="DEBT", case="2026-11"', "nonsense"):
        with pytest.raises(BadUserInput):
            await principal(setting, "why", "view:restricted", PURPOSE, header)
    for matter in ("DEBT", "NO_SUCH_MATTER", "SELF"):
        with pytest.raises(MatterNotGranted):
            await principal(setting, "why", "view:restricted", None, f'matter="{matter}", case="1"')


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_read_in_any_case(setting: Setting, scheme: str) -> None:
    await setting.client("case")
    token = await setting.token("case")
    assert (await setting.authenticator.authenticate(f"{scheme} {token}", None)).client_id == "case"


async def test_a_kept_verdict_ends_with_its_token(setting: Setting) -> None:
    await setting.client("exp")
    authorization = f"Bearer {await setting.token('exp')}"
    found = await setting.authenticator.authenticate(authorization, None)
    assert setting.authenticator.cached(authorization, None) is found
    assert setting.authenticator.cached(authorization, HEADER) is None
    setting.now += 299
    assert await setting.authenticator.authenticate(authorization, None) == found
    setting.now += 1
    assert setting.authenticator.cached(authorization, None) is None
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(authorization, None)


async def test_a_kept_verdict_ends_within_two_seconds_of_disabling_by_another_process(setting: Setting) -> None:
    await setting.client("dis")
    authorization = f"Bearer {await setting.token('dis')}"
    await setting.authenticator.authenticate(authorization, None)
    # Straight to the database, so that nothing in this process is told.
    await setting.store._pool.execute("update auth.client set disabled_at = now() where id = 'dis'")
    setting.monotonic += 2
    assert setting.authenticator.cached(authorization, None) is None
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(authorization, None)


async def test_disabling_in_this_process_is_seen_at_once(setting: Setting) -> None:
    await setting.client("now")
    authorization = f"Bearer {await setting.token('now')}"
    await setting.authenticator.authenticate(authorization, None)
    await setting.store.disable("now")
    assert setting.authenticator.cached(authorization, None) is None
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(authorization, None)


async def test_a_kept_verdict_ends_with_the_clients_version(setting: Setting) -> None:
    await setting.client("ver")
    authorization = f"Bearer {await setting.token('ver')}"
    await setting.authenticator.authenticate(authorization, None)
    await setting.store._pool.execute("update auth.client set version = version + 1 where id = 'ver'")
    setting.monotonic += 2
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(authorization, None)
    assert await setting.authenticator.authenticate(f"Bearer {await setting.token('ver')}", None)


async def test_what_the_registration_lost_is_lost_though_the_version_was_forgotten(setting: Setting) -> None:
    await setting.client("lost", scopes=("view:restricted", "view:internal"))
    authorization = f"Bearer {await setting.token('lost', 'view:internal')}"
    assert (await setting.authenticator.authenticate(authorization, None)).access is INTERNAL
    await setting.store._pool.execute("update auth.client set scopes = '{view:restricted}' where id = 'lost'")
    setting.monotonic += 2
    with pytest.raises(Unauthenticated):
        await setting.authenticator.authenticate(authorization, None)


async def test_a_matter_that_is_no_longer_in_force(setting: Setting) -> None:
    await setting.client("gone")
    authorization = f"Bearer {await setting.token('gone')}"
    assert await setting.authenticator.authenticate(authorization, None)
    await setting.store._pool.execute("update auth.client set matters = '{DEBT}' where id = 'gone'")
    setting.monotonic += 2
    with pytest.raises(MatterNotGranted):
        await setting.authenticator.authenticate(authorization, None)


async def test_a_clients_row_is_read_once_by_many(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    await setting.client("many")
    tokens = [f"Bearer {await setting.token('many')}" for _ in range(10)]
    setting.store.forget()
    reads = 0
    fetch = setting.store._pool.fetch

    async def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal reads
        reads += 1
        return await fetch(*arguments, **more)

    monkeypatch.setattr(setting.store._pool, "fetch", counted)
    await asyncio.gather(*(setting.authenticator.authenticate(token, None) for token in tokens))
    assert reads == 1


# Whatever is registered and whatever a token claims -----------------------------------------------------------------

CODES = ("GRANT", "DEBT", "SUPERVISION", "SELF")
MATTERS = {
    code: Matter(code, frozenset({"LOCAL", code}), ("GOVERNMENT_DEBT",) if code == "DEBT" else ()) for code in CODES
}
scope_sets = st.frozensets(st.sampled_from(SCOPES))
purposes = st.none() | st.builds(Purpose, st.sampled_from((*CODES, "OTHER")), st.sampled_from(("1", "2")))


@settings(deadline=None)
@given(
    registered=scope_sets,
    asked=st.frozensets(st.sampled_from((*SCOPES, "view:everything"))),
    matters=st.frozensets(st.sampled_from(CODES)),
    in_token=purposes,
    in_header=purposes,
    regions=st.none() | st.just(("659000",)),
    organisation=st.none() | st.just(7),
    subject=st.none() | st.just(9),
)
def test_a_principal_never_exceeds_the_registration(
    registered: frozenset[str],
    asked: frozenset[str],
    matters: frozenset[str],
    in_token: Purpose | None,
    in_header: Purpose | None,
    regions: tuple[str, ...] | None,
    organisation: int | None,
    subject: int | None,
) -> None:
    client = in_memory_client(
        scopes=registered,
        matters={code: MATTERS[code] for code in matters},
        regions=regions,
        organisation_id=organisation,
        subject_id=subject,
        subject_uscc=ENTERPRISE if subject else None,
    )
    token = AccessToken("memory", 1, asked, in_token, NOW + 60, "jti")
    try:
        found = decide(client, token, in_header)
    except ClientError:
        return
    needed = {INTERNAL: "view:internal", SELF: "subject:self"}
    if found.access is not PUBLIC:
        wanted = needed.get(found.access, "view:restricted")
        assert wanted in registered
        assert wanted in asked
        assert found.matter in matters
        assert found.case_number
        assert found.sources == MATTERS[str(found.matter)].sources
        assert (found.matter == "SELF") == (found.access is SELF)
        assert found.case_number in {p.case_number for p in (in_token, in_header) if p} | {"SELF"}
    else:
        assert not asked
        assert (found.matter, found.sources, found.scope) == (None, frozenset(), None)
    assert (found.scope is not None) == found.access.scoped
    if found.access in (INTERNAL, RESTRICTED, RESTRICTED_SCOPED) and regions is not None:
        assert found.access.scoped
        assert json.loads(found.scope or "")["regions"] == list(regions)
        assert json.loads(found.withheld) == {"regions": list(regions)}
    if found.access is SELF:
        assert json.loads(found.scope or "")["subject"] == subject is not None
    assert dataclasses.replace(found) == found
