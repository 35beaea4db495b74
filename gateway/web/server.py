"""How uvicorn is run: its configuration, connections through the door, and a socket of its own for each worker.

In: an ASGI app and its door. Out: uvicorn.Config; sockets to listen on.
"""

from __future__ import annotations

import gc
import resource
import socket
import sys
from typing import Any

import uvicorn

from gateway.errors import SettingsError
from gateway.web.door import Door
from gateway.web.protocol import uvicorn_protocol

BACKLOG = 2_048
WS_BYTES = 1_048_576  # of one message
_OTHER_FILES = 256  # what a process opens beside its clients' connections: pools, sources, logs


def config(app: object, door: Door | None = None, **more: object) -> uvicorn.Config:
    """uvicorn's configuration for `app` behind `door` (by default one of its own); `more` replaces or adds settings."""
    settings: dict[str, Any] = {
        "loop": "uvloop",
        "http": uvicorn_protocol(door or Door()),
        "ws": "websockets-sansio",  # made by protocol.py, at /graphql alone
        "ws_per_message_deflate": False,
        "ws_max_size": WS_BYTES,
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
    }
    return uvicorn.Config(app, **settings | more)  # type: ignore[arg-type]


def settle() -> None:
    """What has been made until now stays until the process ends: Python's collector need not look at it again. Schema
    and bindings are most of what there is; each full collection would go through them for nothing."""
    gc.collect()
    gc.freeze()


def shares_port() -> bool:
    """Whether the kernel spreads connections over several sockets that listen on one port. Others only allow them."""
    return sys.platform == "linux"


def listen(host: str, port: int, *, prefix: str = "GATEWAY") -> socket.socket:
    """A socket that listens. Raises SettingsError where the address is taken, or none of ours; it names the settings by
    their prefix."""
    made = _bound(host, port, shared=False, prefix=prefix)
    made.listen(BACKLOG)
    return made


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds a port for the workers and does not listen: no connection ever waits in it.

    A port that somebody else listens on is refused, though the kernel would share it: two gateways of one user that are
    started by mistake would take turns. Raises SettingsError.
    """
    if port:
        _bound(host, port, shared=False).close()
    return _bound(host, port, shared=True)


def join(host: str, port: int) -> socket.socket:
    """A worker's own socket on a port that is reserved; it listens once the server is started, and ends with the
    process: a worker that has died has no queue in which connections could wait for nobody."""
    return _bound(host, port, shared=True)


def _bound(host: str, port: int, *, shared: bool, prefix: str = "GATEWAY") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; set {prefix}_HOST, {prefix}_PORT"
        ) from None
    return made


def allow_files(connections: int) -> int:
    """Raise the process's limit on open files to what so many connections need, as far as it may. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
