"""The documentation site: all pages are reachable, all public names have entries, and nothing loads from elsewhere."""

import html
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxcnn

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def packages() -> list[str]:
    """Every package and sub-package with public names; ``docs/command.md`` is the page of ``jaxcnn.cli``."""
    found = pkgutil.walk_packages(jaxcnn.__path__, "jaxcnn.", onerror=lambda name: None)
    names = ["jaxcnn"] + [
        each.name for each in found if each.ispkg and "._" not in each.name and each.name != "jaxcnn.cli"
    ]
    return [name for name in names if getattr(importlib.import_module(name), "__all__", ())]


def navigation() -> set[str]:
    """The pages in the navigation of ``mkdocs.yml``."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    return set(re.findall(r"([\w./-]+\.md)$", text, re.MULTILINE))


def test_every_page_is_in_the_navigation() -> None:
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    notes = {page for page in pages if re.match(r"decisions/\d", page)}
    tools = {page for page in pages if page.startswith(("bench/", "site/"))}
    assert pages - notes - tools == navigation()


def test_every_decision_is_listed_by_its_title() -> None:
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    for note in sorted((DOCS / "decisions").glob("0*.md")):
        number, title = note.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        assert f"{number}. [{title}]({note.name})" in index.splitlines()


def test_every_package_has_a_page_of_the_reference() -> None:
    for package in packages():
        page = DOCS / "api" / f"{package.removeprefix('jaxcnn.')}.md"
        assert page.exists(), f"{package} has no page: add {page.name} to docs/api and to mkdocs.yml"
        assert page.read_text(encoding="utf-8").splitlines()[-1] == f"::: {package}"


def test_examples_of_docstrings_have_no_heading() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "jaxcnn").rglob("*.py")}
    headed = [
        name
        for name, path in files.items()
        if re.search(r"^ *Examples?:$", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert not headed, "an example is a paragraph that begins with >>>, as in the other docstrings"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of its sources."""
    pytest.importorskip("zensical", reason="Zensical builds the site: pip install 'jaxcnn[docs]'")
    root = tmp_path_factory.mktemp("checkout")
    for name in ("docs", "jaxcnn"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, root)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": "docs/site"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "site"


@pytest.mark.gate  # takes ten seconds; requires the extra `docs`, which .ci/run installs
def test_every_public_name_has_an_entry(site: Path) -> None:
    for package in packages():
        page = site / "api" / package.removeprefix("jaxcnn.") / "index.html"
        entries = set(re.findall(r'<h\d id="([^"]+)"', page.read_text(encoding="utf-8")))
        modules = {name for name in importlib.import_module(package).__all__ if f"{package}.{name}" in packages()}
        missing = {f"{package}.{name}" for name in importlib.import_module(package).__all__} - entries
        assert missing == {f"{package}.{name}" for name in modules}


@pytest.mark.gate
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*? src="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*? href="([^"]+)"[^>]*>', text)
        assert [address for address in loaded if address.startswith(("http:", "https:", "//"))] == [], page


@pytest.mark.gate
def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r'id="?([^" >]+)"?', text)) for page, text in pages.items()}
    for page, text in pages.items():
        if page.name == "404.html":
            continue
        for link in map(html.unescape, re.findall(r'<a[^>]*? href="([^"]+)"', text)):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.relative_to(site)} links to {link}"
            assert not anchor or target not in anchors or anchor in anchors[target], f"{page.relative_to(site)}: {link}"


@pytest.mark.gate
def test_examples_of_docstrings_are_code(site: Path) -> None:
    for page in (site / "api").rglob("*.html"):
        text = re.sub(r"<pre.*?</pre>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "&gt;&gt;&gt;" not in text and "<blockquote>" not in text, page
