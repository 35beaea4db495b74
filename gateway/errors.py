"""The tree of errors.

    GatewayError
    ├── ClientError            a client may read it: code, message in Chinese and English, HTTP status
    │   ├── Unauthenticated        UNAUTHENTICATED            401
    │   ├── Forbidden              FORBIDDEN                  403
    │   ├── PurposeRequired        PURPOSE_REQUIRED           403
    │   ├── MatterNotGranted       MATTER_NOT_GRANTED         403
    │   ├── ParseFailed            GRAPHQL_PARSE_FAILED       400
    │   ├── ValidationFailed       GRAPHQL_VALIDATION_FAILED  400
    │   ├── BadUserInput           BAD_USER_INPUT             400
    │   ├── QueryTooCostly         QUERY_TOO_COSTLY           400
    │   ├── RateLimited            RATE_LIMITED               429
    │   ├── DocumentNotFound       PERSISTED_DOCUMENT_NOT_FOUND 400
    │   ├── StorageUnavailable     STORAGE_UNAVAILABLE        503
    │   ├── LedgerUnavailable      LEDGER_UNAVAILABLE         503
    │   └── Internal               INTERNAL                   500, masked: an id that is in the log, nothing else
    ├── Refused                several client errors at once: the request errors of one document
    └── OperatorError          never reaches a client: settings, migrations, embedded PostgreSQL, files
        ├── SettingsError
        ├── StorageError           (MigrationError, EmbeddedPostgresError, SecretFileError below it)
        └── ImportFileError

Codes are stable and never reused; docs/errors.md lists them and a test holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """Root of all that this project raises on purpose."""


class ClientError(GatewayError):
    """An error that a client may read. `zh` and `en` say what to do next; `path` is a GraphQL response path."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(
        self,
        en: str,
        zh: str,
        *,
        path: Sequence[str | int] | None = None,
        locations: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh
        self.path = path
        self.locations = locations
        self.principal: object | None = None  # who was refused, where that is known: the refusal is disclosed

    def message(self, language: str) -> str:
        """The message in `language` (zh or en)."""
        return self.zh if language == "zh" else self.en

    def as_json(self, language: str) -> dict[str, object]:
        """The error as the GraphQL specification's response format has it."""
        made: dict[str, object] = {"message": self.message(language)}
        if self.locations:
            made["locations"] = [{"line": line, "column": column} for line, column in self.locations]
        if self.path is not None:
            made["path"] = list(self.path)
        made["extensions"] = {"code": self.code}
        return made


class Unauthenticated(ClientError):
    """No token, or one that does not hold."""

    code, status = "UNAUTHENTICATED", 401
    # For WWW-Authenticate (RFC 6750 §3, RFC 9449 §7.1).
    challenges: tuple[str, ...] = ('Bearer error="invalid_token"',)


class Forbidden(ClientError):
    """Authenticated, but not allowed."""

    code, status = "FORBIDDEN", 403


class PurposeRequired(ClientError):
    """Above the public view a request needs a matter and a case number."""

    code, status = "PURPOSE_REQUIRED", 403


class MatterNotGranted(ClientError):
    """The client is not registered for the matter, or the matter does not exist."""

    code, status = "MATTER_NOT_GRANTED", 403


class ParseFailed(ClientError):
    """The document is not GraphQL."""

    code, status = "GRAPHQL_PARSE_FAILED", 400


class ValidationFailed(ClientError):
    """The document is not valid against the asker's own contract."""

    code, status = "GRAPHQL_VALIDATION_FAILED", 400


class BadUserInput(ClientError):
    """A value that can't be taken: id, cursor, size, code, date, header."""

    code, status = "BAD_USER_INPUT", 400


class QueryTooCostly(ClientError):
    """The query asks for more than one request may."""

    code, status = "QUERY_TOO_COSTLY", 400


class RateLimited(ClientError):
    """Too many requests. `retry_after` is in seconds."""

    code, status = "RATE_LIMITED", 429

    def __init__(self, en: str, zh: str, *, retry_after: int) -> None:
        super().__init__(en, zh)
        self.retry_after = retry_after


class DocumentNotFound(ClientError):
    """No such document is registered: by a hash or id that is not known, or where only registered ones are answered."""

    code, status = "PERSISTED_DOCUMENT_NOT_FOUND", 400


class StorageUnavailable(ClientError):
    """The database did not answer; nothing partial is given."""

    code, status = "STORAGE_UNAVAILABLE", 503


class LedgerUnavailable(ClientError):
    """The disclosure could not be written, so nothing is disclosed."""

    code, status = "LEDGER_UNAVAILABLE", 503


class Internal(ClientError):
    """Anything unforeseen, masked."""

    code, status = "INTERNAL", 500


CLIENT_ERRORS: tuple[type[ClientError], ...] = (
    Unauthenticated,
    Forbidden,
    PurposeRequired,
    MatterNotGranted,
    ParseFailed,
    ValidationFailed,
    BadUserInput,
    QueryTooCostly,
    RateLimited,
    DocumentNotFound,
    StorageUnavailable,
    LedgerUnavailable,
    Internal,
)


class Refused(GatewayError):
    """A request refused before execution, for one or more reasons; there is no data. `errors` is never empty."""

    def __init__(self, errors: Sequence[ClientError]) -> None:
        super().__init__("; ".join(error.en for error in errors))
        self.errors = tuple(errors)

    @property
    def code(self) -> str:
        """The code of the first, which the disclosure of the refusal keeps."""
        return self.errors[0].code

    @property
    def status(self) -> int:
        """The HTTP status of the first."""
        return self.errors[0].status


class OperatorError(GatewayError):
    """For the operator alone; the message says what to do next."""


class SettingsError(OperatorError):
    """A setting that can't be used."""


class StorageError(OperatorError):
    """The database can't be reached, made or migrated."""


class MigrationError(StorageError):
    """A migration that differs from what was applied, is missing, or failed."""


class ImportFileError(OperatorError):
    """A file that can't be imported as a whole (forbidden column, no header, unknown kind). `zh`: the same in Chinese,
    for the clerks who send files."""

    def __init__(self, en: str, zh: str = "") -> None:
        super().__init__(en)
        self.zh = zh
