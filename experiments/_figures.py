"""Figures of the documentation, and whether they are older than what draws them.

`python experiments/_figures.py NAME …` draws figures anew, puts them into docs/assets/ and notes
there, in figures.json, a digest of what drew them: the script or the code of the page with its
parameters, and every definition that it reaches in the modules that draw. Comments, docstrings
and definitions that it does not reach do not count; neither does the theory behind the numbers.
"""

import argparse
import ast
import functools
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
ASSETS = pathlib.Path("docs/assets")
RECORD = ASSETS / "figures.json"
# What is not an experiment of the same name: source of the drawing, of a module with several ones
# the function, too, and arguments of the command line.
SOURCES = {
    "solve": "spectrax/cli/figures.py",
    "transfer": "spectrax/cli/figures.py",
    "bbp_transition": "docs/tutorials/bbp.md",
    "checkpoint": "docs/tutorials/checkpoint.md",
}
FUNCTIONS = {"solve": "draw_training", "transfer": "draw_transfer"}
COMMANDS = {
    "solve": ["solve", "--simulate", "300", "--seeds", "16", "--no-cache"],
    "transfer": ["transfer", "--no-cache"],
}
DRAW = ("experiments/_*.py", "spectrax/plotting/*.py", "spectrax/cli/figures.py")
# Shared by the experiments, but arguments, progress and printed text: nothing that is drawn.
APART = {"arguments", "chosen", "counter", "Verdict", "finish", "training_folder"}


def names(root: pathlib.Path = ROOT) -> list[str]:
    """Figures of the documentation."""
    return sorted(path.stem for path in (root / ASSETS).glob("*.png"))


def source(name: str) -> str:
    """The file in which the drawing of a figure begins."""
    return SOURCES.get(name, f"experiments/{name}.py")


def digest(name: str, root: pathlib.Path = ROOT) -> str:
    """Of everything that a figure is drawn by."""
    reached = _reached(source(name), FUNCTIONS.get(name), root)
    text = "\n".join([" ".join(COMMANDS.get(name, [])), *sorted(reached)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def drawn(name: str, root: pathlib.Path = ROOT) -> str:
    """Digest of the figure itself."""
    return hashlib.sha256((root / ASSETS / f"{name}.png").read_bytes()).hexdigest()[:16]


# --- what a figure is drawn by


def _reached(start: str, function: str | None, root: pathlib.Path) -> set[str]:
    """Definitions in the source, or one function, and those they lead to in modules that draw."""
    modules = {
        str(path.relative_to(root)): _parse(path.read_text("utf-8"))
        for pattern in DRAW
        for path in root.glob(pattern)
    }
    modules[start] = _parse(_code(root / start))
    imports = {path: _imports(tree, modules) for path, tree in modules.items()}
    skip = int(_has_docstring(modules[start]))
    queue = [(start, node) for node in modules[start].body[skip:] if not _is_import(node)]
    if function is not None:
        queue = _definitions(start, function, modules, imports)
    seen, found = set(), set()
    while queue:
        path, node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        found.add(_plain(node))  # wherever it stands: modules may move
        for used in _used(node):
            queue += _definitions(*imports[path].get(used, (path, used)), modules, imports)
    return found


@functools.cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _code(path: pathlib.Path) -> str:
    """Python of a script, or of all examples of a page."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    return text


def _used(node: ast.AST) -> Iterator[str]:
    """Names in a definition, and attributes of names as `module.name`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            yield f"{part.value.id}.{part.attr}"


def _imports(tree: ast.AST, modules: dict) -> dict[str, tuple[str, str]]:
    """Names, as `_used` gives them, with module and name of what they mean."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = alias.asname or alias.name
                if (module := _file(node.module, modules)) is not None:
                    found[name] = (module, alias.name)
                if (module := _file(f"{node.module}.{alias.name}", modules)) is not None:
                    found |= {f"{name}.{x}": (module, x) for x in _top(modules[module])}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (module := _file(alias.name, modules)) is not None:
                    name = alias.asname or alias.name
                    found |= {f"{name}.{x}": (module, x) for x in _top(modules[module])}
    return found


def _file(module: str, modules: dict) -> str | None:
    """The file of a module that draws."""
    path = module.replace(".", "/")
    candidates = (f"{path}.py", f"{path}/__init__.py", f"experiments/{path}.py")
    return next((name for name in candidates if name in modules), None)


def _top(tree: ast.Module) -> dict[str, ast.AST | None]:
    """Names that a module defines or passes on; None for those that it imports."""
    found: dict[str, ast.AST | None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: None for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in ast.walk(target)]
            found |= {part.id: node for part in parts if isinstance(part, ast.Name)}
    return found


def _definitions(path: str, name: str, modules: dict, imports: dict) -> list:
    """Where a name is defined, if it is in a module that draws."""
    known = _top(modules[path])
    if name not in known or name in APART:
        return []
    if known[name] is not None:
        return [(path, known[name])]
    further = imports[path].get(name)
    return _definitions(*further, modules, imports) if further else []


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _plain(node) -> str:
    """A definition without docstrings, comments and layout, the same in all versions of Python."""
    if isinstance(node, list):
        return f"[{' '.join(map(_plain, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and _has_docstring(node):
        fields["body"] = fields["body"][1:]
    left_out = ("ctx", "kind", "type_comment", "type_params")
    kept = [
        f"{k}={_plain(v)}" for k, v in fields.items() if k not in left_out and v not in ([], None)
    ]
    return f"{type(node).__name__}({' '.join(kept)})"


def _has_docstring(node) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)


# --- drawing


def draw(name: str) -> None:
    """Draw one figure anew, put it into the documentation and note by what it was drawn."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        if name in COMMANDS:
            command = ["-m", "spectrax", *COMMANDS[name], "--out", str(out)]
        elif source(name).endswith(".md"):
            (out / "page.py").write_text(_code(ROOT / source(name)), encoding="utf-8")
            command = [str(out / "page.py")]
        else:
            command = [str(ROOT / source(name)), "--out", str(out)]
        subprocess.run([sys.executable, *command], check=True, cwd=out)
        shutil.copyfile(out / f"{name}.png", ROOT / ASSETS / f"{name}.png")
    note(name)


def note(name: str, by: str | None = None, older: str | None = None) -> None:
    """Write into the record by what a figure was drawn, and why it is older if it is."""
    path = ROOT / RECORD
    record = json.loads(path.read_text("utf-8")) if path.exists() else {}
    record[name] = {"drawn_by": by or digest(name), "figure": drawn(name)}
    if older is not None:
        record[name]["older"] = older
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument(
        "names", nargs="+", choices=names(), metavar="NAME", help=", ".join(names())
    )
    for figure in parser.parse_args().names:
        draw(figure)
