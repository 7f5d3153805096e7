"""The top level: names are there from the first touch, light, and typed."""

import ast
import pathlib
import subprocess
import sys

import pytest

import spectrax

ROOT = pathlib.Path(spectrax.__file__).parent
PACKAGE = ast.parse((ROOT / "__init__.py").read_text("utf-8"))


def python(script, **options):
    """A fresh interpreter, in which nothing of the package was imported yet."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules():
    """Public modules and packages on the top level."""
    paths = [p for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    return sorted(p.stem for p in paths if not p.stem.startswith("_"))


def test_modules_are_there_at_the_first_touch():
    # the second imports many others on its way
    for names in (["plotting"], ["spectrum", *modules()]):
        script = f"import spectrax as sx; print([getattr(sx, name).__name__ for name in {names}])"
        assert python(script) == f"{[f'spectrax.{name}' for name in names]}\n"


def test_what_needs_no_jax_does_not_import_it():
    script = "import sys, spectrax as sx; sx.cli.main, sx.__version__; print('jax' in sys.modules)"
    assert python(script) == "False\n"


def test_unknown_names_stay_unknown():
    for name in ("nosuch", "_nosuch"):
        with pytest.raises(AttributeError, match=f"'spectrax' has no attribute '{name}'"):
            getattr(spectrax, name)


def test_listed_names_exist_and_none_is_private():
    listed = dir(spectrax)
    assert {"solve", "outliers", "DeepLinear", *modules()} <= set(listed)
    assert [name for name in listed if name.startswith("_")] == ["__version__"]
    for name in listed:
        assert getattr(spectrax, name) is getattr(spectrax, name)


def test_no_function_hides_a_module():
    from spectrax import _api

    assert not set(modules()) & set(vars(_api))


def test_type_checkers_are_told_of_every_module():
    (block,) = (node for node in PACKAGE.body if isinstance(node, ast.If))
    imported = [node for node in block.body if node.module == "spectrax"]
    names = [alias for node in imported for alias in node.names]
    assert [alias.asname for alias in names] == modules()  # "as" makes them public
    assert all(alias.name == alias.asname for alias in names)
    wings = [alias for n in block.body if n.module == "spectrax.spectrum" for alias in n.names]
    assert {alias.name for alias in wings} == {alias.asname for alias in wings}
    assert sorted(alias.name for alias in wings) == sorted(spectrax._WINGS)
    assert "spectrax._api" in [node.module for node in block.body]
    (hidden,) = (node.name for node in block.orelse if node.name == "__getattr__")
    assert hidden not in {getattr(node, "name", "") for node in PACKAGE.body}
    assert (ROOT / "py.typed").exists()


USER = """\
import jax
import spectrax as sx

spikes = sx.CoupledSpikes([[1.0]], [[1.0]], [[0.0]], [[0.0]], [[2.0]], aspect=1.0, sigma=1.0)
model = sx.DeepLinear(1, 5, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0)
solution = sx.solve(model)
reveal_type(sx.outliers(spikes, 1))
reveal_type(sx.outlier_path(solution.weights(0)).location)
reveal_type(sx.margin(spikes))
reveal_type(solution.train_loss)
reveal_type(sx.spectrum.outliers(spikes))
reveal_type(sx.MarchenkoPastur(2.0).edges())
sx.nosuch
sx.solve(2)
sx.AntiHebbian(5, dt="a", mu=0.0, kappa=1.0)
"""
SEEN = [
    "spectrax.spectrum.spikes.outliers.Outliers",
    *["jax._src.basearray.Array"] * 3,
    "spectrax.spectrum.spikes.outliers.Outliers",
    "tuple[jax._src.basearray.Array, jax._src.basearray.Array]",
]
ERRORS = [
    'has no attribute "nosuch"',
    'Argument 1 to "solve" has incompatible type "int"',
    'Argument "dt" to "AntiHebbian" has incompatible type "str"',
]


@pytest.mark.slow
def test_type_checker_sees_types_and_mistakes(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "user.py", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    seen = [line.split('"')[1] for line in lines if "Revealed type" in line]
    errors = [line for line in lines if ": error:" in line]
    assert seen == SEEN, done.stdout + done.stderr
    assert len(errors) == len(ERRORS), done.stdout
    for error, part in zip(errors, ERRORS, strict=True):
        assert part in error
