"""The figures of the sources in docs/performance.md.

In: benchmarks/results/sources.json (benchmarks/sources.py) and black_hole.json (scripts/black_hole.py) where they
exist. Out: lines of Markdown, for make_docs.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
NONE = "No results yet."


def source_figures(results: Path = RESULTS / "sources.json") -> list[str]:
    """The last thousand cold subjects, or the word that there are none."""
    if not results.is_file():
        return [NONE]
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    rows = [_row(name, found[key]) for key, name in (("gateway", "gateway"), ("bare", "bare loop"))]
    spread = f"{found['ratio_min']:.2f} to {found['ratio_max']:.2f} in each round"
    return [
        f"{found['subjects']:,} subjects, {found['concurrency']} calls at once, courts answering in"
        f" {found['courts_ms']:g} ms; {found['machine']}; commit {found['commit'][:12]}. Gateway over bare loop:"
        f" **{found['ratio']:.2f}** (median of {found['rounds']} rounds, {spread}). The gateway made"
        f" {found['calls']:,} calls, the refresh of the secret and the first round, which warms up, included.",
        "",
        *_table(("who asks", "seconds (least, most)", "CPU s of who asks", "CPU s of the courts"), rows),
    ]


def _row(name: str, found: dict[str, float]) -> tuple[str, ...]:
    seconds = f"{found['seconds']:.2f} ({found['seconds_min']:.2f}, {found['seconds_max']:.2f})"
    return name, seconds, f"{found['cpu_seconds']:.2f}", f"{found['cpu_seconds_courts']:.2f}"


def black_hole_figures(results: Path = RESULTS / "black_hole.json") -> list[str]:
    """The last run with the courts as a black hole, or the word that there is none."""
    if not results.is_file():
        return [NONE]
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    rows = [
        ("without the fault", f"{found['well_p95_ms']:.0f}", ""),
        ("before the breaker opened", f"{found['before_p95_ms']:.0f}", f"budget {found['budget_ms']:.0f} ms"),
        ("with the breaker open", f"{found['open_p95_ms']:.0f}", f"{found['ratio']:.2f} of that without the fault"),
    ]
    memory = found["memory_mb"]
    if memory:
        grown = f"memory from {memory[1]:.0f} to {memory[-1]:.0f} MB"
        rows.append((f"{found['minutes']:g} minutes of it", f"{found['held_p95_ms']:.0f}", grown))
    return [
        f"{found['users']} users, medians of {found['rounds']} rounds; {found['machine']}; commit"
        f" {found['commit'][:12]}.",
        "",
        *_table(("courts", "p95 of the response, ms", ""), rows),
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
