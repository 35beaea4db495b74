"""The client's TLS certificate from the header Client-Cert (RFC 9440), believed from our own proxies alone.

In: an ASGI scope. Out: the certificate's thumbprint, None without the header, or BadUserInput: from anybody else the
header is an attack, or a proxy that the operator has not named.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from gateway.auth.certificate import InvalidCertificateError, parse_header
from gateway.errors import BadUserInput


class ClientCertificates:
    """Reads the header. `trusted` says whether a scope's peer is one of our proxies."""

    def __init__(self, trusted: Callable[[MutableMapping[str, Any]], bool]) -> None:
        self._trusted = trusted

    def header(self, scope: MutableMapping[str, Any]) -> str | None:
        """The header's text, None without one. Raises BadUserInput where it is not our proxy's, or stands twice."""
        values = [value for name, value in scope["headers"] if name == b"client-cert"]
        if not values:
            return None
        if not self._trusted(scope):
            raise BadUserInput(
                "Client-Cert is taken from the proxies in GATEWAY_TRUSTED_PROXIES alone",
                "请求头 Client-Cert 只接受来自 GATEWAY_TRUSTED_PROXIES 所列代理的值",
            )
        if len(values) > 1:
            raise BadUserInput("Client-Cert is given twice", "Client-Cert 重复")
        return str(values[0], "latin-1")

    def thumbprint(self, scope: MutableMapping[str, Any]) -> str | None:
        """x5t#S256 of the certificate (RFC 8705 §3.1); None without one. Raises BadUserInput."""
        text = self.header(scope)
        if text is None:
            return None
        try:
            return parse_header(text).thumbprint
        except InvalidCertificateError as error:
            raise BadUserInput(str(error), "请求头 Client-Cert 格式错误，应为 RFC 9440 的字节序列") from error
