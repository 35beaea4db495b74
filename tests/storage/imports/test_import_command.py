"""Promises: `credit-gateway import` says what became of the rows: status 0, 1, 2 or 3, one line for each trouble."""

from __future__ import annotations

import ast
import asyncio
import csv
import io
import json
import re
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import asyncpg
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app as whole
from gateway.cli.imports import import_command
from gateway.storage.database import Database
from gateway.storage.imports import KINDS
from tests.storage.imports.rows_of_a_clerk import IDENTITY, csv_bytes, penalty, table, workbook

ROOT = Path(__file__).resolve().parents[3]
app = typer.Typer()
app.command("import")(import_command)
app.command("other")(lambda: None)
GOOD = "code,name\n99,样例省\n"


@pytest.fixture(autouse=True)
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database.migrate_dsn)
    monkeypatch.setenv("GATEWAY_ROLE_PREFIX", database.prefix)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(database.secrets.folder.parent))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_in(tmp_path: Path) -> None:
    path = file(tmp_path, GOOD)
    result = run(path, "--as", "divisions", "--dry-run")
    assert (result.exit_code, "nothing was kept" in result.stderr) == (0, True)
    assert [run(path, "--as", "divisions").exit_code for _ in range(2)] == [0, 0]
    assert not (tmp_path / "file.rejects.csv").exists()


def test_a_file_without_rows_is_told(tmp_path: Path) -> None:
    """An empty template, say: nothing is wrong, and nothing has happened."""
    result = run(file(tmp_path, GOOD.splitlines(keepends=True)[0]), "--as", "divisions")
    assert result.exit_code == 0
    assert "no rows below the header; fill it in" in result.stderr
    assert "请填写后再导入" in result.stderr
    assert "no rows" not in run(file(tmp_path, GOOD), "--as", "divisions").stderr


def test_some_rejected(tmp_path: Path) -> None:
    result = run(file(tmp_path, GOOD + "8801,样例市\n"), "--as", "divisions", "--rejects", tmp_path / "r.csv")
    assert result.exit_code == 3
    assert "1 row rejected; mend it in" in result.stderr
    assert "3,code,8801" not in (tmp_path / "r.csv").read_text(encoding="utf-8-sig")  # the parent is what lacks
    assert "3,上级代码,88," in (tmp_path / "r.csv").read_text(encoding="utf-8-sig")


def test_failures_are_one_line_in_each_language(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.csv", file(tmp_path, "")):
        result = run(path, "--as", "divisions")
        assert result.exit_code == 1
        english, chinese = result.stderr.strip().split("\n")
        assert (english[:7], chinese[:3]) == ("error: ", "错误：")
        assert "Traceback" not in result.stderr


def test_every_failure_of_a_file_is_told_in_chinese(tmp_path: Path) -> None:
    """Whatever raises it gives both languages; what no clerk can cause needs one."""
    calls = [
        node
        for path in sorted((ROOT / "gateway" / "storage" / "imports").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ImportFileError"
    ]
    english = [ast.unparse(call) for call in calls if len(call.args) < 2]
    assert len(calls) > 30
    assert [call for call in english if "unknown kind" not in call and "a time zone" not in call] == []


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = penalties(tmp_path / "u.csv", penalty(190, 序号="1"))
    for more in (("--dry-run",), ()):
        result = run(path, "--as", "penalties", *more)
        assert "columns not read: 序号 / 未读取的列：序号" in result.stderr
    told = json.loads(run(path, "--as", "penalties", "--json").stdout)
    assert told["files"][0]["notes"] == ["columns not read: 序号 / 未读取的列：序号"]
    path = penalties(tmp_path / "m.csv", penalty(191, **{"罚款金额（千元）": "1"}))
    told = json.loads(run(path, "--as", "penalties", "--json").stdout)
    assert "speaks of money" in told["failed"][0]["error"]
    assert "涉及金额但无法识别" in told["failed"][0]["error_zh"]


def test_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path / "x.csv", "--as", "natural-persons").exit_code == 2
    assert run(tmp_path / "x.csv").exit_code == 2


def test_organisations_without_a_valid_code_are_told_of(tmp_path: Path) -> None:
    """A mistyped code makes a second organisation: nobody would notice by counts of rows."""
    right, wrong = "91652799YL0099999P", "91652799YL00999990"
    path = file(tmp_path, f"name,uscc,subject_kind\n样例甲有限公司,{right},\n样例乙有限公司,{wrong},企业\n")
    result = run(path, "--as", "organisations")
    assert result.exit_code == 0
    assert "1 new organisation has no valid code" in result.stderr.replace("\n", " ")
    again = run(path, "--as", "organisations")
    assert "no valid code" not in again.stderr


def test_the_version() -> None:
    result = CliRunner().invoke(whole, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, version("credit-gateway"))


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "gateway.cli", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, version("credit-gateway"))


def test_older_content_is_told_and_put_back_on_purpose(tmp_path: Path) -> None:
    first = penalties(tmp_path / "1.csv", penalty(195))
    second = penalties(tmp_path / "2.csv", penalty(195, CF_SY="改过"))
    for path in (first, second):
        assert run(path, "--as", "penalties").exit_code == 0
    result = run(first, "--as", "penalties")
    assert result.exit_code == 0
    assert "--apply-older" in result.stderr
    told = json.loads(run(first, "--as", "penalties", "--json", "--apply-older").stdout)["files"][0]
    assert (told["changed"], told["older"]) == (1, 0)


def penalties(path: Path, *rows: dict[str, str]) -> Path:
    path.write_bytes(csv_bytes(rows))
    return path


def test_several_files_and_a_folder_one_of_them_broken(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    penalties(folder / "a.csv", penalty(101))
    left = "line,column,value,reason_zh,reason_en,CF_XDR_MC\n"
    (folder / "a.rejects.csv").write_text(left)  # what an earlier run left is no file of the folder
    workbook(folder / "b.xlsx", {"数据": table([penalty(103)])})
    (folder / "notes.md").write_text("x")
    broken = file(tmp_path, "a,b\n1,2\n")
    result = run(folder, broken, penalties(tmp_path / "c.csv", penalty(104)), "--as", "penalties")
    assert result.exit_code == 1  # one failed; the others are in all the same
    assert "no column for name" in result.stderr
    again = run(folder, tmp_path / "c.csv", "--as", "penalties", "--json")
    assert again.exit_code == 0
    told = json.loads(again.stdout)
    assert [(one["file"], one["same"]) for one in told["files"]] == [("a.csv", 1), ("b.xlsx", 1), ("c.csv", 1)]
    assert told["failed"] == []


def test_rejects_go_before_success_and_failures_before_rejects(tmp_path: Path) -> None:
    bad = penalties(tmp_path / "bad.csv", penalty(111, CF_JDRQ="昨天"))
    assert run(penalties(tmp_path / "good.csv", penalty(112)), bad, "--as", "penalties").exit_code == 3
    assert run(bad, tmp_path / "nothing.csv", "--as", "penalties").exit_code == 1
    assert run(bad, bad, "--as", "penalties", "--rejects", tmp_path / "r.csv").exit_code == 2


def test_a_dry_run_says_what_would_happen_and_the_first_rejects(tmp_path: Path) -> None:
    rows = [penalty(n, CF_JDRQ="昨天" if n > 125 else "2026-03-06") for n in range(120, 135)]
    result = run(penalties(tmp_path / "d.csv", *rows), "--as", "penalties", "--dry-run")
    assert result.exit_code == 3
    assert "6 rows would be new, 0 changed, 0 the same as before, 9 would be rejected" in result.stderr
    assert result.stderr.count("  line ") == 5
    assert "line 8 CF_JDRQ '昨天': 不是日期" in result.stderr
    assert "nothing was kept" in result.stderr
    result = run(tmp_path / "d.csv", "--as", "penalties", "--json")
    assert json.loads(result.stdout)["files"][0]["new"] == 6


def test_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = csv_bytes([penalty(141), penalty(142, CF_JDRQ="昨天")], "gb18030")
    result = CliRunner().invoke(app, ["import", "-", "--as", "penalties"], input=content)
    assert result.exit_code == 3
    assert (tmp_path / "stdin.rejects.csv").exists()


def test_received(tmp_path: Path) -> None:
    path = penalties(tmp_path / "r.csv", penalty(151))
    assert run(path, "--as", "penalties", "--received", "2999-01-01T09:00").exit_code == 2
    assert run(path, "--as", "penalties", "--received", "yesterday").exit_code == 2
    early = run(path, "--as", "penalties", "--received", "2026-03-14T23:59")
    assert early.exit_code == 3  # decided on the 15th, in Shanghai
    assert "decided after it was received" in early.stderr
    assert run(path, "--as", "penalties", "--received", "2026-03-15T00:00").exit_code == 0


def test_templates(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    result = run("--as", "licences", "--template", path)
    assert result.exit_code == 0
    assert f"credit-gateway import {path} --as licences" in result.stderr.replace("\n", "")
    assert run(path, "--as", "licences").exit_code == 0
    assert run("--as", "licences", "--template", path).exit_code == 1
    assert run("--template", tmp_path / "u.xlsx").exit_code == 2
    assert run(path, "--as", "licences", "--template", tmp_path / "u.xlsx").exit_code == 2


def test_the_report_for_programs(tmp_path: Path) -> None:
    name = "=cmd()示例局"
    rows = [penalty(160 + n, CF_CFJG=name, CF_CFJGDM="", CF_JDRQ="2026-03-06") for n in range(2)]
    received = ("--received", "2026-03-18T09:00")
    assert run(penalties(tmp_path / "x.csv", *rows), "--as", "penalties", *received).exit_code == 0
    result = run("--report", "--from", "2026-03-18", "--to", "2026-03-18")
    assert result.exit_code == 0
    told = list(csv.DictReader(io.StringIO(result.stdout)))
    assert told == [{"authority": f"'{name}", "uscc": "", "rows": "2", "rejected": "0", "due": "2", "late": "2"}]
    as_json = json.loads(run("--report", "--json", "--from", "2026-03-18", "--to", "2026-03-18").stdout)
    assert as_json["authorities"] == [{"name": name, "uscc": "", "rows": 2, "rejected": 0, "due": 2, "late": 2}]
    assert run("--report", "--from", "yesterday").exit_code == 2
    assert run("--report", tmp_path / "x.csv").exit_code == 2


def test_the_help_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = re.sub(r"[\s│]+", "", run("--help").stdout)
    for word in (
        "--template",
        "--dry-run",
        "--report",
        "GB18030",
        "rejects.csv",
        "3 some rows were rejected",
        "130 stopped",
        *KINDS,
    ):
        assert word.replace(" ", "") in text


def heeding(*arguments: str, first: str = "") -> list[str]:
    """The command as its script starts it, `first` run before. Tests that run in the background of a shell have SIGINT
    ignored, and so would what they start."""
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, name = script["credit-gateway"].partition(":")
    return [sys.executable, "-c", f"{heeds}\n{first}\nfrom {module} import {name} as main\nmain()", *arguments]


LOADING = """
import sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "gateway.cli.imports":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
"""


def test_a_command_that_is_stopped_while_it_loads_has_no_traceback() -> None:
    command = heeding("import", "-", "--as", "divisions", first=LOADING)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_import_that_is_stopped_while_it_reads_stdin_says_so(tmp_path: Path) -> None:
    command = heeding("import", "-", "--as", "divisions")
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        sent = 0
        # More than a pipe takes: it has begun to read when that is written.
        while sent < 1 << 20:
            sent += running.stdin.write(b"x" * (1 << 16))
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, b"nothing was imported" in said, b"Traceback" in said) == (130, True, False)


def test_an_import_that_is_stopped_says_so_and_goes_on_when_run_again(database: Database, tmp_path: Path) -> None:
    path = penalties(tmp_path / "long.csv", *(penalty(n) for n in range(300_000, 306_000)))
    command = heeding("import", str(path), "--as", "penalties")

    async def begun() -> None:
        connection = await asyncpg.connect(database.migrate_dsn)
        try:
            for _ in range(2_000):
                if await connection.fetchval(
                    "select exists (select from core.import_run where file_name = 'long.csv')"
                ):
                    return
                await asyncio.sleep(0.02)
            raise AssertionError("the import did not begin")
        finally:
            await connection.close()

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        asyncio.run(begun())
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped: what was written stays" in said
    assert "Traceback" not in said
    again = json.loads(run(path, "--as", "penalties", "--json").stdout)["files"][0]
    assert (again["read"], again["new"] + again["same"], again["rejected"]) == (6_000, 6_000, 0)
    assert again["new"], "it was done before it was stopped"


def test_no_cell_of_a_file_makes_the_terminal_obey(tmp_path: Path) -> None:
    row = {**penalty(170, CF_CFLB="\x1b[2J口头教育", CF_JDRQ="\x1b]0;x\x07"), "\x1b[31mred": "x"}
    result = run(penalties(tmp_path / "e.csv", row), "--as", "penalties")
    assert result.exit_code == 3
    assert "\x1b" not in result.stderr
    assert "口头教育" in result.stderr


def test_the_terminal_shows_no_identity_number(tmp_path: Path) -> None:
    path = tmp_path / f"{IDENTITY}.csv"
    rows = [penalty(180, CF_XDR_SHXYM=IDENTITY[:-1]), penalty(181, CF_XDR_SHXYM=f"{IDENTITY}5"), penalty(182)]
    results = [run(penalties(path, *rows), "--as", "penalties", "--by", IDENTITY, *more) for more in ((), ("--json",))]
    results += [run(tmp_path / f"no{IDENTITY}.csv", "--as", "penalties")]
    results += [run(penalties(path, {**penalty(183), f"民族{IDENTITY}": "x"}), "--as", "penalties")]
    results += [run("--as", "penalties", "--template", path)]
    assert [result.exit_code for result in results] == [3, 3, 1, 1, 1]
    told = "".join(result.stdout + result.stderr for result in results)
    assert IDENTITY[:-1] not in told.replace("\n", "")
    assert "6527*" in told
