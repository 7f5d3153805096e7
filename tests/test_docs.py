"""The documentation says what the code does: examples run, names exist, shapes are right."""

import ast
import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re

import equinox as eqx
import matplotlib
import numpy as np
import pytest

import spectrax
from spectrax import plotting

matplotlib.use("Agg")

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)


# Pages whose examples compile little; the others are as sure to run, in the slow tests.
QUICK = ("README",)
WITH_PYTHON = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in PAGES
    if blocks(path, "python")
]


def test_pages_with_examples_are_found():
    assert len(WITH_PYTHON) > 10


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_PYTHON)
def test_python_examples_run(path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the figures that they write
    namespace = {"__name__": "example"}
    for block in blocks(path, "python"):
        exec(compile(block, f"<example in {path.name}>", "exec"), namespace)
    printed = capsys.readouterr().out
    assert ("print(" in "".join(blocks(path, "python"))) == bool(printed)
    assert "nan" not in printed


def test_readme_has_two_set_up_commands():
    run, test = (block.strip() for block in blocks(ROOT / "README.md", "bash"))
    assert run.endswith("pip install . && .venv/bin/spectrax transfer")
    assert test.endswith("pip install -e '.[test]' && .venv/bin/pytest")


def test_every_public_name_is_in_the_reference():
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    api = (ROOT / "spectrax" / "_api.py").read_text("utf-8")
    names = re.findall(r"^from \S+ import (\w+) as \1$", api, re.M)
    missing = [name for name in names if not re.search(rf"spectrax\.{name}\b", pages)]
    assert len(names) > 80 and not missing
    drawn = re.search(r"members: \[(.*)\]", (ROOT / "docs/api/plotting.md").read_text("utf-8"))
    functions = {name for name in dir(plotting) if callable(getattr(plotting, name))}
    assert functions == set(drawn[1].split(", "))


# --- the notation table


def notation_rows():
    text = (ROOT / "docs" / "notation.md").read_text("utf-8")
    cells = [line.strip().strip("|").split(" | ") for line in text.splitlines() if "`" in line]
    found = [(row[1].strip("` "), row[2].strip("` ")) for row in cells if len(row) == 4]
    assert len(found) > 30  # the pattern still matches the page
    return found


def evaluate(model, codes):
    """Each expression of the notation page, in the names that the page uses."""
    solution = spectrax.solve(model, throw=False)
    names = {name: getattr(spectrax, name) for name in dir(spectrax) if name[0] != "_"}
    rng = np.random.default_rng(0)
    noise, directions = rng.normal(size=(60, 40)), (rng.normal(size=60), rng.normal(size=40))
    names |= {
        "model": model,
        "solution": solution,
        "l": 1,
        "weights": solution.weights(1),
        "spikes": spectrax.spikes(solution, 1, 6),
        "law": spectrax.MarchenkoPastur(1.0),
        "outputs": spectrax.one_step_outputs(1.5, 0.75, 0.8),
        "pencil": spectrax.product_law(1.0),
        "measured": spectrax.measure_spectrum(noise + np.outer(*directions)),
    }
    return {code: eval(code, dict(names)) for code in codes}


@pytest.mark.slow
def test_notation_names_exist_and_have_the_stated_shape():
    settings = dict(alpha=4.0, nu=2.0, eta=0.05, gamma0=8.0, num_classes=2)
    model = spectrax.DeepLinear(2, 6, **settings)
    rows = notation_rows()
    values = eqx.filter_eval_shape(evaluate, model, [code for code, _ in rows])
    sizes = {"T": 6, "C": 2, "L": 2, "n": 12, "q": 12, "p": 12}
    for code, shape in rows:
        value = values[code]
        found = (len(value), *value[0].shape) if isinstance(value, tuple) else np.shape(value)
        found = getattr(value, "shape", found)
        assert found == eval(shape, sizes), code


# --- docstrings


def modules():
    found = pkgutil.walk_packages(spectrax.__path__, "spectrax.")
    return [info.name for info in found if not info.name.endswith("__main__")]


def documented(module):
    """Functions and classes that the module defines itself, with the methods of the classes."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__ or name.startswith("_"):
            continue
        yield name, value
        if inspect.isclass(value):
            for key, member in vars(value).items():
                if not key.startswith("_"):
                    yield f"{name}.{key}", getattr(member, "__func__", member)


def examples():
    for module_name in modules():
        module = importlib.import_module(module_name)
        for name, value in [("", module), *documented(module)]:
            text = inspect.getdoc(value) or ""
            if ">>>" in text:
                yield pytest.param(text, dict(vars(module)), id=f"{module_name}.{name}".strip("."))


def sources(text):
    return "".join(example.source for example in doctest.DocTestParser().get_examples(text))


def test_every_example_of_a_docstring_is_found():
    """Also of what is compiled, registered or nested, which may hide its docstring."""
    found = [sources(param.values[0]) for param in examples()]
    assert len(found) > 70 and all(found)
    for path in (ROOT / "spectrax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                assert ">>>" not in text or sources(text) in found, f"{path}: {text}"


@pytest.mark.slow
@pytest.mark.parametrize("text, names", list(examples()))
def test_docstring_example_runs(text, names, request):
    test = doctest.DocTestParser().get_doctest(text, names, request.node.name, None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report = []
    doctest.DocTestRunner(optionflags=flags).run(test, out=report.append)
    assert not report, "".join(report)


def public():
    """Functions and classes that users call, under the names by which they call them."""
    for module in (spectrax, plotting):
        for name in dir(module):
            value = getattr(module, name)
            if name[0] != "_" and callable(value) and value is not spectrax.RESULTS:
                yield pytest.param(value, id=name)


@pytest.mark.parametrize("value", list(public()))
def test_docstring_names_every_argument(value):
    entries = re.findall(r"^ {4}([\w, ]+):", inspect.getdoc(value) or "", re.M)
    named = re.findall(r"\w+", " ".join(entries))
    assert set(inspect.signature(value).parameters) <= {*named, "self"}


def test_cited_sections_exist():
    pages = [*(ROOT / "docs" / "theory").glob("*.md"), ROOT / "docs" / "notation.md"]
    headings = re.findall(r"^#+ (P|\d(?:\.\d)?) ", "\n".join(p.read_text() for p in pages), re.M)
    checked = 0
    for path in (ROOT / "spectrax").rglob("*.py"):
        for cited in re.findall(r"[Tt]heory page,\s+sections?\s+([^\n]*)", path.read_text("utf-8")):
            for section in re.findall(r"\bP\b|\d\.\d|\d", cited):
                assert section in headings, f"{path.name} cites section {section}"
                checked += 1
    assert checked > 80  # the patterns still match
