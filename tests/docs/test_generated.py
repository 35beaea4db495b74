"""Promises: generated pages are what the code makes; every setting and every code of an error stands there once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import CLIENT_ERRORS
from gateway.settings import GROUPS, PREFIX, Settings
from gateway.source_settings import PeerSource
from scripts import bench_docs, make_docs

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = make_docs.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run: python -m scripts.make_docs"


def test_check_tells_pages_that_differ(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_docs.main(["--check"]) == 0
    advice = dict(make_docs.ADVICE)
    advice["FORBIDDEN"] = ("另", "something else", "另")
    monkeypatch.setattr(make_docs, "ADVICE", advice)
    assert make_docs.main(["--check"]) == 1
    assert "docs/errors.md differs" in capsys.readouterr().err


def test_every_setting_once() -> None:
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields if name not in GROUPS]
    for group, model in GROUPS.items():
        names += [f"{PREFIX}{group}__{name}".upper() for name in model.model_fields]
    names += PeerSource.model_fields
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", text, re.MULTILINE) == names
    models = (Settings, *GROUPS.values(), PeerSource)
    fields = [field for model in models for field in model.model_fields.values()]
    assert all(field.description for field in fields)


def test_every_error_once_with_its_status_in_both_languages() -> None:
    expected = [(error.code, str(error.status)) for error in CLIENT_ERRORS]
    assert len({code for code, _ in expected}) == len(expected)
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    for half in text.split("## 错误代码"):
        assert re.findall(r"^\| `(\w+)` \| (\d+) \|", half, re.MULTILINE) == expected


def test_the_tree_of_errors_names_every_code_with_its_status() -> None:
    tree = (ROOT / "gateway" / "errors.py").read_text(encoding="utf-8").split('"""')[1]
    for error in CLIENT_ERRORS:
        assert re.search(rf"── {error.__name__} +{error.code} +{error.status}\b", tree), error.__name__


def test_only_reserved_codes_are_never_raised() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    for error in CLIENT_ERRORS:
        raised = re.search(rf"\b{error.__name__}\(", code.replace(f"class {error.__name__}(", "")) or re.search(
            rf"_client_error\({error.__name__},", code
        )
        reserved = make_docs.RESERVED in make_docs.ADVICE[error.code][1]
        assert reserved == (raised is None), error.code


def test_advice_without_a_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_docs, "ADVICE", {**make_docs.ADVICE, "GONE": ("", "", "")})
    with pytest.raises(ValueError, match="GONE"):
        make_docs.errors_page()


def test_figures_as_a_table() -> None:
    row = {"workload": "W1", "stack": "floor", "rps": 1234.5, "rps_min": 1.0, "rps_max": 2.0, "p50_ms": 3.0}
    row |= {"p99_ms": 4.0, "cpu_ms_server": 0.1, "cpu_ms_postgres": 0.2, "ratio": None}
    made = bench_docs.figures({"machine": "2 cores", "commit": "0123456789abcdef", "rows": [row]})
    assert made[0].startswith("2 cores; commit 0123456789ab.")
    assert made[-1] == "| W1 | floor | 1,234.5 (1.0, 2.0) | 3.0 | 4.0 | 0.1 | 0.2 | – |"


def test_a_picture_has_a_bar_for_each_ratio_and_a_line_where_the_floor_is() -> None:
    common = {"workload": "W1", "rps": 100.0, "rps_min": 50.0, "rps_max": 150.0}
    rows = [common | {"stack": "floor", "ratio": 1.0}, common | {"stack": "gateway-public", "ratio": 2.0}]
    drawn = bench_docs.drawn({"rows": [*rows, common | {"stack": "gateway-scoped", "ratio": None}]})
    widths = [float(width) for width in re.findall(r'<rect x="\d+" y="\d+" width="([\d.]+)"', drawn)]
    assert len(widths) == 2
    assert widths[1] == 2 * widths[0]
    left = float(re.findall(r'<rect x="(\d+)"', drawn)[0])
    assert float(re.findall(r'<path d="M([\d.]+) [\d.]+V', drawn)[0]) == left + widths[0]
