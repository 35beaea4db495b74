"""Asking a source that wants a consent (the banks): under one that fits, or not at all.

In: what is wanted, the way to the source, who asks. Out: a section for each subject. Answers are kept nowhere: they go
from the flight into the statement, and are gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from connectors.base import Consent, FailureKind
from gateway.auth.principal import Principal
from gateway.sources.flight import Asker, Flight, land
from gateway.sources.lane import Lane
from gateway.sources.section import Section, at_once, section, unanswered
from gateway.sources.told import BUDGET, NO_CONSENT
from gateway.sources.wanted import Consents, Inquire, Wanted, purpose_of


async def by_consent(
    want: Wanted,
    lane: Lane,
    found_in: Consents,
    principal: Principal,
    deadline: float,
    inquire: Inquire,
    asker: Asker,
) -> dict[str, Section]:
    """A section for each subject by `deadline` (loop time, s). Without a consent that fits nobody is asked, and nobody
    before `inquire` has been told. A consent that was revoked meanwhile shows nothing.

    Raises StorageUnavailable where consents can't be read, and whatever `inquire` raises.
    """
    consents = await _matching(want, found_in, principal)
    if consents:
        await inquire(want.source, tuple(consents))
    now = asyncio.get_running_loop().time()
    end = min(deadline, now + lane.policy.budget)
    flights: dict[str, list[Flight]] = {}
    try:
        for uscc, consent in consents.items():
            if now < end:
                purpose = replace(purpose_of(principal), consent=consent, apart=_apart(asker))
                flights[uscc] = lane.join([(part, uscc) for part in want.parts], purpose, end, asker)
        await land([flight for joined in flights.values() for flight in joined], end)
        still = await _matching(want, found_in, principal) if flights else {}
        made = {}
        for uscc in want.subjects:
            if uscc in flights and uscc in still:
                replies = [flight.reply(FailureKind.TIMEOUT.value, BUDGET) for flight in flights[uscc]]
                made[uscc] = section(want.parts, [at_once(reply) for reply in replies])
            else:
                too_late = uscc in consents and uscc not in flights
                made[uscc] = unanswered(want.parts, BUDGET if too_late else NO_CONSENT)
        return made
    finally:
        for joined in flights.values():
            lane.leave(joined)


def _apart(asker: Asker) -> str:
    """Whose requests at a bank it may take up: everybody's, or under a seal its own alone."""
    return hashlib.sha256(json.dumps(asker[:3]).encode()).hexdigest() if asker.sealed else ""


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
