"""The built pages: examples are code, formulas are formulas, and nothing comes from elsewhere."""

import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
ASSETS = ROOT / "docs" / "assets"
CODE = re.compile(r"<(pre|code)\b.*?</\1>", re.S)
FORMULA = re.compile(r'<(span|div) class="arithmatex">.*?</\1>', re.S)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Every page of the built site, by its path."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    pages = {path: path.read_text("utf-8") for path in folder.rglob("*.html")}
    assert len(pages) > 30
    return pages


def article(text):
    return "".join(re.findall(r"<article.*?</article>", text, re.S))


@pytest.mark.slow
def test_examples_are_code_and_sections_are_headed(site):
    shown = 0
    for path, text in site.items():
        text = article(text)
        shown += sum("&gt;&gt;&gt;" in block[0] for block in CODE.finditer(text))
        rest = CODE.sub("", text)
        for left_over in ("&gt;&gt;&gt;", "Args:", "Returns:</p>", "Example:", "Raises:</p>"):
            assert left_over not in rest, f"{path} shows {left_over} as prose"
        # what becomes of `>>>` below a heading that is none
        assert "<blockquote" not in rest and 'class="example"' not in rest, path
    assert shown > 50
    api = "".join(text for path, text in site.items() if "api" in path.parts)
    for heading in ("Parameters", "Returns", "Raises", "Examples"):
        assert api.count(f"{heading}:</span>") > 20, heading


@pytest.mark.slow
def test_no_formula_is_left_as_text(site):
    formulas = 0
    for path, text in site.items():
        formulas += len(FORMULA.findall(article(text)))
        rest = re.sub(r"<[^>]*>", "", FORMULA.sub("", CODE.sub("", article(text))))
        found = re.findall(r".{0,30}(?:\$\$|\\\(|\\[a-z]{2,}).{0,30}", rest)
        assert not found, f"{path}: {found[0]}"
    assert formulas > 500


@pytest.mark.slow
def test_pages_need_no_network(site):
    """All that a browser fetches by itself is a file of the site."""
    fetched = re.compile(
        r'<(?:script|img|source|iframe)\b[^>]*?\bsrc="([^"]+)"'
        r'|<link\b(?=[^>]*rel="(?:stylesheet|icon|preload|preconnect)")[^>]*?\bhref="([^"]+)"'
    )
    seen = set()
    for path, text in site.items():
        for address in filter(None, sum(fetched.findall(text), ())):
            assert not re.match(r"(https?:)?//", address), f"{path} fetches {address}"
            address = urllib.parse.unquote(address.partition("?")[0].partition("#")[0])
            seen.add(address.rpartition("/")[2])
            if path.name != "404.html":  # which has absolute addresses
                assert (path.parent / address).exists(), f"{path} misses {address}"
    assert {"mathjax.js", "tex-chtml.js", "site.css", "outlier_escape.png"} <= seen


def test_formulas_are_set_from_files_of_the_site():
    """MathJax and every font that it can ask for, with its licence."""
    folder = ASSETS / "mathjax"
    program = (folder / "tex-chtml.js").read_text("utf-8")
    fonts = set(re.findall(r"%%URL%%/(MathJax_[\w-]+\.woff)", program))
    kept = {path.name for path in (folder / "output/chtml/fonts/woff-v2").iterdir()}
    assert len(fonts) > 15 and fonts <= kept
    assert "Apache License" in (folder / "LICENSE").read_text("utf-8")
    addresses = re.findall(r"https?://", (ASSETS / "mathjax.js").read_text("utf-8"))
    assert not addresses
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2e6
