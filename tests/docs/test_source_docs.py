"""Promise: the figures of the sources stand in docs/performance.md as they were measured, or the word that there are
none."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.source_docs import NONE, black_hole_figures, source_figures

RUN = {"machine": "2 cores", "commit": "0123456789abcdef", "rounds": 3}


def written(folder: Path, **figures: object) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(RUN | figures), encoding="utf-8")
    return path


def test_without_results(tmp_path: Path) -> None:
    assert source_figures(tmp_path / "none.json") == [NONE] == black_hole_figures(tmp_path / "none.json")


def test_cold_subjects(tmp_path: Path) -> None:
    side = {"seconds": 1.5, "seconds_min": 1.0, "seconds_max": 2.0, "cpu_seconds": 0.25, "cpu_seconds_courts": 0.5}
    ratios = {"ratio": 1.234, "ratio_min": 1.1, "ratio_max": 1.5}
    sizes = {"subjects": 1000, "concurrency": 8, "courts_ms": 5.0, "calls": 4001}
    lines = source_figures(written(tmp_path, gateway=side, bare=side | {"seconds": 1.2}, **ratios, **sizes))
    assert "courts answering in 5 ms; 2 cores; commit 0123456789ab. Gateway over bare loop: **1.23**" in lines[0]
    assert lines[-2:] == [
        "| gateway | 1.50 (1.00, 2.00) | 0.25 | 0.50 |",
        "| bare loop | 1.20 (1.00, 2.00) | 0.25 | 0.50 |",
    ]


def test_a_black_hole(tmp_path: Path) -> None:
    times = {"well_p95_ms": 50.4, "before_p95_ms": 2033.1, "open_p95_ms": 40.0, "held_p95_ms": 41.0, "ratio": 0.794}
    given = {"users": 50, "budget_ms": 2000.0, "minutes": 5.0}
    lines = black_hole_figures(written(tmp_path, **times, **given, memory_mb=[90.0, 100.0, 1, 1, 1, 102.4]))
    assert lines[-3:] == [
        "| before the breaker opened | 2033 | budget 2000 ms |",
        "| with the breaker open | 40 | 0.79 of that without the fault |",
        "| 5 minutes of it | 41 | memory from 100 to 102 MB |",
    ]
    assert len(black_hole_figures(written(tmp_path, **times, **given, memory_mb=[]))) == len(lines) - 1
