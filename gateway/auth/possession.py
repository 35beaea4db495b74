"""Sender-constrained tokens: whoever shows a token with `cnf` must show the key or the certificate that it is bound to.

In: an access token, how it was sent, and what the request shows beside it. Out: nothing, or Unauthenticated with its
challenge (RFC 9449 §7.1, RFC 8705 §3, RFC 6750 §3). Asked at each request: nothing here is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from gateway.auth.clients import DPOP, MTLS, Client
from gateway.auth.dpop import InvalidProofError, UsedProofs, read_proof
from gateway.auth.jose import PROOF_ALGORITHMS
from gateway.auth.tokens import AccessToken, bad_token
from gateway.errors import Unauthenticated

_ALGS = f'algs="{" ".join(PROOF_ALGORITHMS)}"'
_BEARER, _DPOP = 'Bearer error="invalid_token"', f'DPoP error="invalid_token", {_ALGS}'
_PROOF = f'DPoP error="invalid_dpop_proof", {_ALGS}'


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows beside its token: method, URL (dpop.comparable), DPoP headers, and the thumbprint of the
    client's TLS certificate, asked for only where a token is bound to one."""

    method: str = ""
    url: str = ""
    proofs: tuple[str, ...] = ()
    certificate: Callable[[], str | None] = lambda: None


NOTHING = Shown()


class Possession:
    """Checks. `required`: no client may come with a token that is bound to nothing."""

    def __init__(self, used: UsedProofs, *, required: bool = False) -> None:
        self._used = used
        self._required = required

    async def check(
        self, token: AccessToken, client: Client, sent: str, shown: Shown, *, text: str, now: float
    ) -> None:
        """Pass, or raise. `sent` is the scheme in lower case, `text` the token as sent.

        Raises Unauthenticated, StorageUnavailable, and BadUserInput for a certificate from nobody's proxy.
        """
        if not bound_enough(client, self._required, dpop=token.jkt is not None, mtls=token.certificate is not None):
            raise refused(sent)
        if (token.jkt is not None) != (sent == "dpop"):
            # A bound token as Bearer is what a thief has; one bound to nothing as DPoP would prove nothing.
            raise refused(sent)
        if token.certificate is not None:
            presented = shown.certificate()
            if presented is None or not hmac.compare_digest(presented, token.certificate):
                raise refused(sent)
        if token.jkt is not None:
            await self._proof(token.jkt, shown, text, now)

    async def _proof(self, jkt: str, shown: Shown, text: str, now: float) -> None:
        try:
            proof = read_proof(shown.proofs, method=shown.method, url=shown.url, now=now, token=text)
            if not hmac.compare_digest(proof.jkt, jkt):
                raise InvalidProofError("DPoP: the token is bound to another key")
        except InvalidProofError as error:
            raise _bad_proof(str(error)) from error
        # Last, so that only who holds token and key can fill the table.
        if not await self._used.use(proof):
            raise _bad_proof("DPoP: jti was used before; make a proof for each request")


def bound_enough(client: Client, required: bool, *, dpop: bool, mtls: bool) -> bool:
    """Whether a token bound so may be the client's: its registration may name a way, the operator ask for any."""
    if client.bound == DPOP:
        return dpop
    if client.bound == MTLS:
        return mtls
    return dpop or mtls or not required


def refused(sent: str) -> Unauthenticated:
    """The answer to a token that does not hold, with the challenge of the scheme that it was sent by, and the other."""
    error = bad_token()
    error.challenges = (_DPOP,) if sent == "dpop" else (_BEARER, f"DPoP {_ALGS}")
    return error


def _bad_proof(reason: str) -> Unauthenticated:
    error = Unauthenticated(reason, f"DPoP 证明无效：{reason}")
    error.challenges = (_PROOF,)
    return error
