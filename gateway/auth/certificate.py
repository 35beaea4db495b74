"""The client's TLS certificate, as a proxy in front of us saw it (RFC 9440, RFC 8705).

In: the text of a Client-Cert header. Out: a Certificate, or InvalidCertificateError. Whether the header may be believed
is not known here: web/ passes it on from trusted proxies alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

import http_sf
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_MAX_LENGTH = 16_384  # characters of the header
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes


class InvalidCertificateError(Exception):
    """A Client-Cert header that is no certificate; the text is ASCII and fit for error_description."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`thumbprint` is x5t#S256 (RFC 8705 §3.1); times are Unix seconds."""

    thumbprint: str
    not_before: float
    not_after: float

    def valid_at(self, now: float) -> bool:
        """Whether `now` lies in its period of validity."""
        return self.not_before <= now <= self.not_after


def parse_header(text: str) -> Certificate:
    """The certificate of a Client-Cert header: one Byte Sequence of DER (RFC 9440 §2.2).

    Raises InvalidCertificateError.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidCertificateError("the Client-Cert header is too long")
    try:
        member = http_sf.parse(text.encode("latin-1"), tltype="item")
    except (http_sf.StructuredFieldError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise InvalidCertificateError("the Client-Cert header is not a Byte Sequence (RFC 9440)") from error
    value, parameters = member if isinstance(member, tuple) else (member, {})
    if not isinstance(value, bytes) or parameters:
        raise InvalidCertificateError("the Client-Cert header is not a Byte Sequence (RFC 9440)")
    return from_der(value)


def from_der(der: bytes) -> Certificate:
    """The certificate in DER. Raises InvalidCertificateError."""
    try:
        read = x509.load_der_x509_certificate(der)
        begins, ends = read.not_valid_before_utc.timestamp(), read.not_valid_after_utc.timestamp()
    except ValueError as error:
        raise InvalidCertificateError("not an X.509 certificate") from error
    digest = hashlib.sha256(der).digest()
    return Certificate(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), begins, ends)


def from_pem(pem: bytes) -> Certificate:
    """The one certificate in a PEM file. Raises InvalidCertificateError."""
    if pem.count(b"-----BEGIN CERTIFICATE-----") != 1:
        raise InvalidCertificateError("exactly one certificate in PEM is needed")
    try:
        read = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InvalidCertificateError("not an X.509 certificate in PEM") from error
    return from_der(read.public_bytes(Encoding.DER))
