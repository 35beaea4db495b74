"""The sandbox's four upstreams as a process, and the settings with which a gateway asks them.

In: a folder that may be thrown away, made-up subjects, arguments of `python -m sandbox`. Out: an Upstreams: where each
one is, what the gateway's environment must say, faults and calls by HTTP. Called by scripts and benchmarks.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.courts import DEV_APP_KEY, DEV_RID, DEV_SIDS
from sandbox.peer_region import DEV_PEER_CLIENT_ID, DEV_PEER_MATTERS, DEV_PEER_PRIVATE_JWK, DEV_PEER_REGION
from sandbox.region_platform import DEV_PLATFORM_APP_KEY, DEV_PLATFORM_SECRET
from scripts.served import end

ROOT = Path(__file__).resolve().parents[1]
COURTS, PLATFORM, PEER = "courts", "region_platform", "peer_region"


@dataclass(frozen=True)
class Upstreams:
    """The upstreams that run: base URLs by name, the process, and the file with our key for the peer."""

    urls: Mapping[str, str]
    pid: int
    key_file: Path

    def settings(self, *names: str, **limits: Any) -> dict[str, str]:
        """A gateway's environment that asks these upstreams; `limits` are members of SourceLimits and KeptLimits, the
        same for all. The platform's changes are not followed. ValueError for a name that has no settings here."""
        made: dict[str, str] = {}
        for name in names:
            if name == PEER:
                made["GATEWAY_PEERS"] = json.dumps([self._peer() | limits], ensure_ascii=False)
                continue
            given = {"base_url": self.urls[name], **_OURS[name], **limits}
            made |= {f"GATEWAY_{name}__{member}".upper(): str(value) for member, value in given.items()}
        return made

    def _peer(self) -> dict[str, Any]:
        return {
            "code": f"PEER_{DEV_PEER_REGION['code']}",
            "name": "样例邻州信用平台",
            "region_code": DEV_PEER_REGION["code"],
            "region_name": DEV_PEER_REGION["name"],
            "base_url": self.urls[PEER],
            "issuer": self.urls[PEER],
            "client_id": DEV_PEER_CLIENT_ID,
            "key_file": str(self.key_file),
            "matters": list(DEV_PEER_MATTERS),
        }

    async def fault(self, session: aiohttp.ClientSession, name: str, fault: str, service: str = "*") -> None:
        """Calls of a service of that upstream go wrong, until `heal`."""
        body = {"service": service, "fault": fault}
        async with session.post(f"{self.urls[name]}/_faults", json=body) as reply:
            if reply.status != 201:
                raise SystemExit(f"the sandbox takes no such fault: {await reply.text()}")

    async def heal(self, session: aiohttp.ClientSession, name: str) -> None:
        """No fault."""
        await self._delete(session, name, "_faults")

    async def forget(self, session: aiohttp.ClientSession, name: str) -> None:
        """No call remembered."""
        await self._delete(session, name, "_calls")

    async def calls(self, session: aiohttp.ClientSession, name: str) -> list[dict[str, Any]]:
        """Calls that arrived, oldest first: service, uscc, page …"""
        async with session.get(f"{self.urls[name]}/_calls") as reply:
            found: list[dict[str, Any]] = await reply.json()
            return found

    async def _delete(self, session: aiohttp.ClientSession, name: str, path: str) -> None:
        async with session.delete(f"{self.urls[name]}/{path}") as reply:
            if reply.status != 204:
                raise SystemExit(f"the sandbox did not take DELETE /{path}: {reply.status}")


_OURS: Mapping[str, Mapping[str, str]] = {
    COURTS: {
        "requester_id": DEV_RID,
        "app_key": DEV_APP_KEY,
        **{f"service_{service}": sid for service, sid in DEV_SIDS.items()},
    },
    PLATFORM: {"app_key": DEV_PLATFORM_APP_KEY, "secret": DEV_PLATFORM_SECRET, "follow_changes": "false"},
}


@contextlib.contextmanager
def upstreams(folder: Path, subjects: Iterable[tuple[str, str]], *arguments: str) -> Iterator[Upstreams]:
    """The sandbox until the end of the block, with rows about `subjects` (USCC, name). SystemExit if it can't start."""
    listed, key_file = folder / "sandbox-subjects.csv", folder / "sandbox-peer.jwk"
    listed.write_text("".join(f"{uscc},{name}\n" for uscc, name in subjects), encoding="utf-8")
    key_file.write_text(json.dumps(dict(DEV_PEER_PRIVATE_JWK)), encoding="utf-8")
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--subjects", str(listed), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            if not line:
                raise SystemExit("the sandbox did not start")
            urls = {name: f"http://127.0.0.1:{port}" for name, port in json.loads(line).items()}
            yield Upstreams(urls, running.pid, key_file)
        finally:
            end(running, 10)
