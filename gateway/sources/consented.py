"""Asking a source that wants a consent (the banks): under one that fits, or not at all.

In: what is wanted, the way to the source, who asks. Out: a section for each subject. Answers are kept nowhere: they go
from the flight into the statement, and are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from connectors.base import Consent, FailureKind
from gateway.auth.principal import Principal
from gateway.sources.flight import Flight, land
from gateway.sources.lane import Lane
from gateway.sources.section import Section, at_once, section
from gateway.sources.told import BUDGET, NO_CONSENT, NoAnswer, Reply
from gateway.sources.wanted import Consents, Wanted, purpose_of


async def by_consent(
    want: Wanted, lane: Lane, found_in: Consents, principal: Principal, deadline: float
) -> dict[str, Section]:
    """A section for each subject by `deadline` (loop time, s). Without a consent that fits nobody is asked.

    Raises StorageUnavailable where consents can't be read.
    """
    consents = await _matching(want, found_in, principal)
    now = asyncio.get_running_loop().time()
    end = min(deadline, now + lane.policy.budget)
    flights: dict[str, list[Flight]] = {}
    try:
        for uscc, consent in consents.items():
            if now < end:
                purpose = replace(purpose_of(principal), consent=consent)
                flights[uscc] = lane.join([(part, uscc) for part in want.parts], purpose, end)
        await land([flight for joined in flights.values() for flight in joined], end)
        return {uscc: _section(want, flights.get(uscc), known=uscc in consents) for uscc in want.subjects}
    finally:
        for joined in flights.values():
            lane.leave(joined)


async def _matching(want: Wanted, found_in: Consents, principal: Principal) -> dict[str, Consent]:
    """The consent by subject, where the one that was named fits subject, asker, matter, scope and day."""
    if want.consent is None or not principal.organisation_uscc:
        return {}
    found: Mapping[tuple[str, str], Consent] = await found_in.matching(
        [(want.consent, uscc) for uscc in want.subjects],
        grantee=principal.organisation_uscc,
        matter=principal.matter or "",
        scope=want.source,
    )
    return {uscc: consent for (_, uscc), consent in found.items() if uscc in want.subjects}


def _section(want: Wanted, flights: list[Flight] | None, *, known: bool) -> Section:
    if flights is None:
        replies: list[Reply] = [NoAnswer(BUDGET if known else NO_CONSENT)] * len(want.parts)
    else:
        replies = [flight.reply(FailureKind.TIMEOUT.value, BUDGET) for flight in flights]
    return section(want.parts, [at_once(reply) for reply in replies])
