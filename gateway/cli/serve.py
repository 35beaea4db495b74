"""`credit-gateway serve`, `migrate` and `sandbox`: processes that run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer
import uvicorn
import uvloop

from gateway.app import create_app
from gateway.cli.common import note, reported
from gateway.settings import Settings, load
from gateway.storage import roles
from gateway.storage.database import EMBEDDED_DATABASE, Database, database_name, open_database, prepare
from gateway.web.front import Front
from gateway.web.health import metrics_app
from gateway.web.server import allow_files, config, join, listen, reserve, settle, shares_port

_RESTART_SECONDS = 1.0


class _Quiet(uvicorn.Server):
    """A server that leaves signals to us: uvicorn raises them again, before embedded PostgreSQL is let go."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    workers: Annotated[int | None, typer.Option(help="Processes; by default GATEWAY_WORKERS")] = None,
    host: Annotated[str | None, typer.Option(help="Address; by default GATEWAY_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one; by default GATEWAY_PORT")] = None,
    no_migrate: Annotated[
        bool, typer.Option("--no-migrate", help="Leave the database as it is: `credit-gateway migrate` has been run")
    ] = False,
) -> None:
    """Serve the gateway: migrate the database, then answer until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with reported():
        settings = load()
        changes = {"workers": workers, "host": host, "port": port}
        settings = settings.model_copy(update={k: v for k, v in changes.items() if v is not None})
        with open_database(settings, keep=True) as database:
            for name in [] if no_migrate else asyncio.run(prepare(database)):
                note(f"applied {name}")
            alone = settings.workers == 1 or not shares_port()
            listening = (listen if alone else reserve)(settings.host, settings.port)
            settings = settings.model_copy(update={"port": listening.getsockname()[1]})
            for place in range(settings.workers):  # told once and here, not by each worker that is started again
                _listen_for_metrics(settings, place).close()
            note(f"serving on http://{settings.host}:{settings.port}/graphql")
            if settings.workers == 1:
                _work(settings, database, listening, 0)
            else:
                _supervise(settings, listening if alone else None)
            listening.close()


def _work(settings: Settings, database: Database, listening: socket.socket, place: int) -> None:
    """One process: the gateway on its socket, its metrics on the admin address."""
    files = allow_files(settings.max_connections)
    if files < settings.max_connections:
        note(f"only {files} open files are allowed, for {settings.max_connections} connections; raise `ulimit -n`")
    app: Front = create_app(settings, database)
    settle()
    metrics = _listen_for_metrics(settings, place)
    admin = _Quiet(config(metrics_app(app.rest.state.registry), lifespan="off", ws="none"))
    server = _Quiet(config(app, app.door))

    def stop() -> None:
        server.should_exit = True

    async def both() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        beside = asyncio.create_task(admin.serve(sockets=[metrics]))
        try:
            await server.serve(sockets=[listening])
        finally:
            admin.should_exit = True
            with contextlib.suppress(SystemExit, asyncio.CancelledError):
                await beside

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())


def _listen_for_metrics(settings: Settings, place: int) -> socket.socket:
    """The admin address of one process: a port for each, or free ones. Raises SettingsError."""
    port = settings.admin_port + place if settings.admin_port else 0
    return listen(settings.admin_host, port, prefix="GATEWAY_ADMIN")


def _worker(settings: Settings, shared: socket.socket | None, number: int) -> None:
    """A process among several: on a socket of its own, or where the kernel does not spread those, on the shared one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with open_database(settings) as database:
        _work(settings, database, shared or join(settings.host, settings.port), number)


def _supervise(settings: Settings, shared: socket.socket | None) -> None:
    """Keep the workers running until a signal; one that dies is replaced."""
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running = {
        number: context.Process(target=_worker, args=(settings, shared, number)) for number in range(settings.workers)
    }
    for process in running.values():
        process.start()
    while not stopping:
        time.sleep(0.2)
        for number, process in list(running.items()):
            if not process.is_alive() and not stopping:
                note(f"worker {number} ended with status {process.exitcode}; starting another")
                time.sleep(_RESTART_SECONDS)
                running[number] = context.Process(target=_worker, args=(settings, shared, number))
                running[number].start()
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.join(15)


def migrate(
    print_roles: Annotated[
        bool, typer.Option("--print-roles", help="Print the script that makes the roles, for an administrator")
    ] = False,
) -> None:
    """Bring the database to the newest version: roles, numbered migrations, views, partitions."""
    with reported():
        settings = load()
        if print_roles:
            url = settings.database_url
            name = database_name(url.get_secret_value()) if url else EMBEDDED_DATABASE
            typer.echo(roles.script(settings.role_prefix or name, name), nl=False)
            return
        with open_database(settings) as database:
            applied = asyncio.run(prepare(database))
        typer.echo(f"{len(applied)} applied" + (f": {', '.join(applied)}" if applied else ""))


def sandbox(context: typer.Context) -> None:
    """Run the upstream systems as small servers; arguments as `python -m sandbox --help`."""
    # Another program: the sandbox shares no code with the gateway, not even a process.
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *context.args])  # noqa: S606
