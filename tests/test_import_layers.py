"""The import layers of pyproject.toml hold, and only the command line uses the demonstration."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "earprint"


@pytest.mark.skipif(importlib.util.find_spec("importlinter") is None, reason="needs import-linter")
@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs the repository")
def test_no_folder_imports_from_a_later_one():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    linted = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def imported_modules(file):
    """Names of all modules that a file imports, or may import names from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(package, but):
    """Files that import a package, except those of some folders."""
    return [
        file.relative_to(PACKAGE).as_posix()
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.relative_to(PACKAGE).parts[0] not in but
        and any(f"{name}.".startswith(f"{package}.") for name in imported_modules(file))
    ]


def test_only_the_command_line_imports_the_demonstration():
    assert importers_of("earprint.demo", but={"cli", "demo"}) == []
    assert importers_of("earprint.demo", but={"demo"})  # the command line does


def test_nothing_imports_the_command_line():
    assert importers_of("earprint.cli", but={"cli", "__main__.py"}) == []


def test_the_store_knows_nothing_of_encoders():
    assert [f for f in importers_of("earprint.encoders", but=set()) if f.startswith("store/")] == []
    assert [f for f in importers_of("earprint.library", but=set()) if f.startswith("store/")] == []
