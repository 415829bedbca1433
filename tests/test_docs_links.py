"""Relative links of the Markdown pages lead to files and headings that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "benchmarks", "training", "src", "packages")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SCRIPT = re.compile(r"\bbenchmarks/\w+\.py\b")
CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def markdown_pages() -> list[Path]:
    """Return the repository's pages, without those of environments and caches in it."""
    return sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", CODE_BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def problems(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
            found.append(target)
    scripts = SCRIPT.findall(page.read_text(encoding="utf-8"))
    return found + [script for script in scripts if not (ROOT / script).exists()]


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="needs the repository")
@pytest.mark.parametrize("page", markdown_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_exist(page):
    assert problems(page) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One heading: `x`\n[a](#one-heading-x) [b](page.md) [c](https://example.org) [d](none.md)\n"
        "[e](#none)\n```\n[in code](none.md)\n```\npython benchmarks/none.py\n"
    )
    assert problems(page) == ["none.md", "#none", "benchmarks/none.py"]
