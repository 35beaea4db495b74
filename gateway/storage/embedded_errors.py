"""What the embedded server raises; apart, so that its modules need not import each other in a circle."""

from __future__ import annotations

from gateway.errors import StorageError


class EmbeddedPostgresError(StorageError):
    """The embedded PostgreSQL cannot be prepared, started, found or stopped. The message says what to do next."""
