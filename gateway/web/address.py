"""Who is at the other end: one of our own proxies, or a client, and what its address counts as.

In: an ASGI scope. Out: a client's address, and the key by which connections and requests of one client are counted. A
header is believed from the proxies of GATEWAY_TRUSTED_PROXIES alone, and only the one that they are known to write:
where a proxy writes X-Forwarded-For, whatever stands in Forwarded is the client's own invention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

_MOST_HOPS: Final = 16  # that are looked at, from the right
_KEPT: Final = 1_024  # verdicts on peers
_FOR: Final = re.compile(r"(?:^|;)\s*for\s*=\s*(\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)


class Peers:
    """Addresses of peers. `proxies` are networks whose header is believed, `header` its name (RFC 7239, or the older
    X-Forwarded-For)."""

    def __init__(self, proxies: Sequence[IPv4Network | IPv6Network], header: str = "X-Forwarded-For") -> None:
        self._proxies = tuple(proxies)
        self._header = header.lower().encode()
        self._verdicts: dict[str, bool] = {}

    def is_trusted(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether the peer itself is one of our proxies."""
        return self.is_proxy(_peer(scope))

    def is_proxy(self, address: str) -> bool:
        """Whether an address is that of one of our proxies."""
        if not self._proxies:
            return False
        known = self._verdicts.get(address)
        if known is None:
            if len(self._verdicts) >= _KEPT:
                self._verdicts.clear()
            found = parse(address)
            known = found is not None and self._among(found)
            self._verdicts[address] = known
        return known

    def client_address(self, scope: MutableMapping[str, Any]) -> str:
        """The client's address without its port: of the hops that our proxies tell, the rightmost that is not ours.

        A hop that is no address ends the walk: what stands left of it is nobody's word. Empty where there is no peer's
        address at all.
        """
        peer = _peer(scope)
        if not self._proxies or not self.is_proxy(peer):
            return peer
        nearest = peer
        for hop in self._hops(scope):
            found = parse(hop)
            if found is None:
                break
            nearest = str(found)
            if not self._among(found):
                break
        return nearest

    def _among(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._proxies)

    def _hops(self, scope: MutableMapping[str, Any]) -> Iterator[str]:
        """The hops from right to left. A proxy's own element has no comma in it, so the last comma is never inside a
        quotation of its own, whatever a client has put before it."""
        text = b",".join([value for name, value in scope["headers"] if name == self._header]).decode("latin-1")
        if not text:
            return
        for element in reversed(text.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            if self._header == b"forwarded":
                told = _FOR.search(element)
                yield told[1].strip('"') if told else ""
            else:
                yield element


def _peer(scope: MutableMapping[str, Any]) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address out of a hop, which may have a port, brackets and a zone; IPv4 in IPv6 is IPv4. None: no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def counted_as(address: str) -> str:
    """What an address is counted as: IPv4 by itself, IPv6 by its /64, of which one subscriber has all."""
    if ":" not in address:
        return address
    found = parse(address)
    if found is None or isinstance(found, IPv4Address):
        return str(found or address)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
