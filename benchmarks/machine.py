"""What the run stood on, and what it cost: read from /proc, so that nothing needs installing.

In: process ids. Out: CPU seconds of a process, of all children of the postmaster, and a line about the machine that
names neither hosts nor paths.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
# Places of fields after the command's name (proc_pid_stat(5)).
_PARENT, _USER, _SYSTEM, _USER_ENDED, _SYSTEM_ENDED = 1, 11, 12, 13, 14


def _fields(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu(pid: int) -> float:
    """CPU seconds that a process has used, user and system."""
    fields = _fields(pid)
    return (int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK


def cpu_of_server(postmaster: int) -> float:
    """CPU seconds of a postmaster and all its processes, those that have ended since included."""
    fields = _fields(postmaster)
    ended = (int(fields[_USER_ENDED]) + int(fields[_SYSTEM_ENDED])) * _TICK
    return cpu(postmaster) + ended + cpu_of_children(postmaster)


def cpu_of_children(parent: int) -> float:
    """The same for all processes whose parent is `parent`: the back ends and helpers of a postmaster."""
    total = 0.0
    for pid in children(parent):
        try:
            total += cpu(pid)
        except OSError:
            continue  # it has just ended
    return total


def children(parent: int) -> list[int]:
    """Processes whose parent is `parent`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = _fields(name)
            except OSError:
                continue  # it has just ended
            if int(fields[_PARENT]) == parent:
                found.append(int(name))
    return found


def private_memory(pid: int) -> float:
    """Memory, in MB, that a process has for itself: RssAnon, without shared buffers and programs."""
    return _memory(pid, "RssAnon")


def describe(postgres: str) -> str:
    """Cores, CPU, kernel, Python and PostgreSQL."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, PostgreSQL {postgres}"
    )


def peak_memory() -> float:
    """The most memory, in MB, that this process has held so far: VmHWM, which nothing is inherited into."""
    return _memory("self", "VmHWM")


def resident_memory(pid: int) -> float:
    """Memory, in MB, that a process holds now: VmRSS."""
    return _memory(pid, "VmRSS")


def _memory(pid: int | str, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field} in /proc/{pid}/status")
