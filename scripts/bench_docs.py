"""Figures of the benchmarks for docs/performance.md, and their picture.

In: latest, peers, growth and memory.json of benchmarks/results/, where they exist. Out: lines of Markdown, and an
SVG: a bar for each stack, its requests a second over the floor's, with the least and the most of its rounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
NONE = ["No results yet."]
_HEADS = (
    "workload",
    "stack",
    "requests a second (least, most)",
    "p50 ms",
    "p99 ms",
    "CPU ms",
    "of PostgreSQL",
    "× floor",
)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def _of(name: str, make: Callable[[dict[str, Any]], list[str]], folder: Path | None) -> list[str]:
    path = (folder or RESULTS) / name
    return make(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else NONE


def measured(folder: Path | None = None) -> list[str]:
    """The figures of the last benchmark, or the word that there are none."""
    return _of("latest.json", figures, folder)


def figures(results: dict[str, Any]) -> list[str]:
    """The results (benchmarks/run.py) as Markdown."""
    return [
        f"{results['machine']}; commit {results['commit'][:12]}. Medians of the rounds; CPU is of one request.",
        "",
        *table(_HEADS, (_figure(row) for row in results["rows"])),
    ]


def _figure(row: dict[str, Any]) -> tuple[str, ...]:
    rate = f"{row['rps']:,} ({row['rps_min']:,}, {row['rps_max']:,})"
    rest = (row[name] for name in ("p50_ms", "p99_ms", "cpu_ms_server", "cpu_ms_postgres", "ratio"))
    return (row["workload"], row["stack"], rate, *("–" if value is None else str(value) for value in rest))


# The picture ----------------------------------------------------------------------------------------------------------

_LEFT, _WIDTH, _BAR, _GAP, _HEAD = 300, 560, 15, 5, 30
_COLOURS = {"floor": "#8a8f98", "gateway": "#2563a8", "bare": "#b98a2f"}


def picture(folder: Path | None = None) -> str:
    """The last benchmark as an SVG; without results one that says so."""
    path = (folder or RESULTS) / "latest.json"
    return drawn(json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []})


def drawn(results: dict[str, Any]) -> str:
    """The SVG of results, as benchmarks/run.py writes them."""
    rows = [row for row in results["rows"] if row["ratio"] is not None]
    longest = max((row["ratio"] for row in rows), default=1.0)
    scale = _WIDTH / longest
    shapes: list[str] = []
    y = 10
    for workload, group in groupby(rows, key=lambda row: row["workload"]):
        shapes.append(f'<text x="10" y="{y + 16}" font-weight="bold">{escape(workload)}</text>')
        y += _HEAD - 8
        top = y
        for row in group:
            shapes += _bar(row, y, scale)
            y += _BAR + _GAP
        one = _LEFT + scale
        shapes.append(f'<path d="M{one:.1f} {top - 3}V{y}" stroke="#222" stroke-dasharray="3 3"/>')
        y += 12
    if not rows:
        shapes.append(f'<text x="10" y="{y + 16}">No results yet.</text>')
        y += _HEAD
    size = f'width="{_LEFT + _WIDTH + 120}" height="{y}" viewBox="0 0 {_LEFT + _WIDTH + 120} {y}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
            "<title>Requests a second of each stack, over the floor's in the same run</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def _bar(row: dict[str, Any], y: int, scale: float) -> list[str]:
    """A bar with its name and its numbers; the line in it is from the least to the most, over the median."""
    length, middle = row["ratio"] * scale, y + _BAR / 2
    colour = _COLOURS[row["stack"].partition("-")[0]]
    least, most = (length * row[name] / row["rps"] for name in ("rps_min", "rps_max"))
    return [
        f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(row["stack"])}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<path d="M{_LEFT + least:.1f} {middle}H{_LEFT + most:.1f}" stroke="#000" stroke-opacity=".55"/>',
        f'<text x="{_LEFT + max(length, most) + 6:.1f}" y="{y + 12}">{row["ratio"]:.2f} ({row["rps"]:,.0f}/s)</text>',
    ]


# Others ---------------------------------------------------------------------------------------------------------------


def of_peers(folder: Path | None = None) -> list[str]:
    """The figures of benchmarks/peers."""
    return _of("peers.json", peer_table, folder)


def peer_table(results: dict[str, Any]) -> list[str]:
    """Each server's figures, and how many times its requests a second the gateway answers."""
    heads = (
        "workload",
        "server",
        "requests a second (least, most)",
        "p50 ms",
        "CPU ms",
        "of PostgreSQL",
        "gateway over it",
    )
    names = ("p50_ms", "cpu_ms_server", "cpu_ms_postgres", "ratio")
    rows = (
        (
            row["workload"],
            row["stack"],
            f"{row['rps']:,} ({row['rps_min']:,}, {row['rps_max']:,})",
            *(str(row[name]) for name in names),
        )
        for row in results["rows"]
    )
    return [f"{results['machine']}; commit {results['commit'][:12]}.", "", *table(heads, rows)]


def grown(folder: Path | None = None) -> list[str]:
    """The figures of benchmarks/growth.py."""
    return _of("growth.json", growth_table, folder)


def growth_table(results: dict[str, Any]) -> list[str]:
    """Lists of 10, 100 and 1,000 subjects."""
    heads = ("subjects", "floor ms", "its growth", "gateway ms", "its growth", "gateway's over the floor's")
    return [
        f"{results['machine']}; commit {results['commit'][:12]}. Medians of {results['rounds']} rounds.",
        "",
        *table(heads, ([str(cell) for cell in row.values()] for row in results["rows"])),
    ]


def remembered(folder: Path | None = None) -> list[str]:
    """The figures of benchmarks/memory.py."""
    return _of("memory.json", memory_table, folder)


def memory_table(results: dict[str, Any]) -> list[str]:
    """Memory after so many different documents."""
    heads = ("documents", "process MB", "its PostgreSQL back ends MB")
    return [
        f"{results['machine']}; commit {results['commit'][:12]}.",
        "",
        *table(heads, ([f"{row['documents']:,}", *map(str, list(row.values())[1:])] for row in results["rows"])),
    ]
