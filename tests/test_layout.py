"""One direction of flow: what may import what; no circle; what is private stays in its folder."""

import ast
import graphlib
import pathlib

import spectrax

ROOT = pathlib.Path(spectrax.__file__).parent
# The lowest first: a room imports those before it, none of its own line and none after it.
LAYERS = (
    "_version check precision _progress _memory _batches _compiled _delivery",
    "_kind _show records",
    "parameterization",
    "empirical",
    "checkpoints",
    "program",
    "seam",
    "training",
    "spectrum.laws",
    "spectrum.expressions",
    "spectrum.spikes",
    "spectrum.trajectory",
    "spectrum.kernel",
    "spectrum.probes",
    "spectrum",
    "simulation",
    "transfer",
    "plotting",
    "_api",
    "cli",
)
ORDER = {room: place for place, line in enumerate(LAYERS) for room in line.split()}
# Rooms that meet in `seam` or nowhere, although the order would allow it.
APART = {
    "spectrum": {"training", "empirical", "checkpoints"},
    "program": {"empirical", "checkpoints"},
    "seam": {"empirical", "checkpoints", "program"},
    "training": {"empirical", "checkpoints"},
    "simulation": {"checkpoints"},
    "transfer": {"empirical", "checkpoints", "simulation"},
    "plotting": {"training", "simulation", "transfer", "checkpoints", "program"},
}


def modules():
    """Modules of the package by their names after `spectrax.`; a folder is its `__init__`."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text("utf-8")
    return {name: text for name, text in found.items() if name not in ("", "__main__")}


MODULES = modules()


def imported(text):
    """Modules that a text imports, also within functions; public names come from `_api`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [f"{alias.name}." for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "spectrax":
                within = rest.rpartition(".")[0]
                yield rest if rest in MODULES else within if within in MODULES else "_api"


GRAPH = {name: set(imported(text)) for name, text in MODULES.items()}


def room(name):
    """The longest part of a module's name that is a room."""
    parts = name.split(".")
    return next(found for k in range(len(parts), 0, -1) if (found := ".".join(parts[:k])) in ORDER)


def backward(name):
    """Imports of a module that the order forbids."""
    mine = room(name)
    for other in GRAPH[name]:
        theirs = room(other)
        inside = theirs == mine
        apart = theirs.partition(".")[0] in APART.get(mine.partition(".")[0], ())
        if (not inside and ORDER[theirs] >= ORDER[mine]) or apart:
            yield other


def test_every_module_has_a_room():
    assert all(room(name) for name in MODULES)


def test_nothing_is_imported_backwards():
    assert [(name, other) for name in GRAPH for other in backward(name)] == []


def test_no_circle():
    graphlib.TopologicalSorter(GRAPH).prepare()


def test_what_is_private_is_imported_within_its_folder_only():
    for name, others in GRAPH.items():
        for other in others:
            folder, _, last = other.rpartition(".")
            inside = not folder or f"{name}.".startswith(f"{folder}.")
            assert inside or not last.startswith("_"), f"{name} imports {other}"
