"""What is printed are values, in a short table, wherever they are known; printing never fails."""

import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx

MODEL = sx.DeepLinear(2, 3, alpha=4.0, nu=2.0, eta=[0.1, 0.2, 0.3], gamma0=1.25)
SPIKES = sx.SymmetricSpikes([[1.0]], [[0.0]], [[2.5]])


@pytest.fixture(scope="module")
def solution():
    """Of the right shapes, without the seconds that its compilation takes."""
    model = sx.AntiHebbian(7, dt=0.1, mu=0.5, kappa=1.0)
    shapes = eqx.filter_eval_shape(sx.solve, model)
    found = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    error = (0.5 ** jnp.arange(7.0))[:, None, None] * jnp.diag(jnp.array([1.0, 3.0]))
    observed = {"test_error": error, "activity": jnp.ones(7)}
    stats = {**found.stats, "diverged_at": jnp.asarray(7)}
    known = (model, observed, stats)
    return eqx.tree_at(lambda x: (x.model, x.observed, x.stats), found, known)


def things(solution):
    """One of every kind that is printed as a table."""
    none = jnp.zeros((2, 2))
    eye, shift = jnp.eye(2), jnp.ones(2)
    return [
        MODEL,
        MODEL.parameterization,
        solution,
        solution.model,
        solution.order,
        solution.weights(0),
        SPIKES,
        sx.CoupledSpikes(eye, eye, none, none, eye, 1.0, 2.0),
        sx.TrainedWeights(eye, eye, none, none, jnp.ones((3, 3)), 1.0, 1.0),
        sx.Outliers(shift, shift > 0, shift),
        sx.MarchenkoPastur(2.0),
        sx.Semicircle(0.5),
        sx.product_law(1.0),
        sx.NestedProducts(shift, shift, shift, shift),
        sx.Estimate(shift, shift),
        sx.Stability(shift, shift, jnp.asarray(1), sx.RESULTS.unstable),
        sx.Fit(sx.mup, jnp.ones(()), none, shift),
        sx.Modes(none[None], none[None]),
        sx.Comparison({"loss": np.ones(2)}, {"loss": np.ones(2)}),
    ]


def short(text):
    """A table for one screen, without types in place of values."""
    lines = text.splitlines()
    assert 1 <= len(lines) <= 20 and max(map(len, lines)) <= 100, text
    assert "f64" not in text and "Array" not in text and " object at" not in text, text
    return lines


def test_every_hyperparameter_is_printed_with_its_value():
    lines = short(repr(MODEL))
    assert lines[0] == "DeepLinear"
    shown = dict(line.split(maxsplit=1) for line in lines[1:])
    assert set(shown) == {field.name for field in dataclasses.fields(MODEL)}
    assert (shown["depth"], shown["gamma0"], shown["eta"]) == ("2", "1.25", "[0.1, 0.2, 0.3]")
    assert shown["parameterization"].endswith("(output_exponent=0.5, lr_exponent=0)")


def test_losses_are_printed_at_a_few_steps(solution):
    assert "mu=0.5" in short(repr(solution))[1]
    rows = {line[:13].strip(): line[13:].split() for line in short(repr(solution))}
    (title,) = (line for line in repr(solution).splitlines() if line.startswith("Solution"))
    assert title == "Solution: The training was solved."
    steps = rows["step"]
    assert steps == ["0", "2", "3", "4", "6"]
    assert rows["test loss"] == ["2", "0.5", "0.25", "0.125", "0.03125"]  # mean of two classes
    ended = eqx.tree_at(lambda x: x.stats["diverged_at"], solution, jnp.asarray(3))
    assert short(repr(ended))[-1].split()[2:] == ["2", "0.5", *["diverged"] * 3]


def test_absent_outliers_are_not_printed_as_outliers():
    found = sx.Outliers(jnp.array([5.0, 4.0]), jnp.array([True, False]), jnp.array([2.0, 0.25]))
    lines = short(repr(found))
    assert lines[0] == "Outliers: 1 of 2"
    assert lines[2].split() == ["5", "2"]
    assert lines[3].split(maxsplit=1)[0] == "edge" and lines[3].endswith("0.25")


def test_arrays_are_printed_whole_or_by_their_range():
    from spectrax._show import one_line

    assert one_line(jnp.eye(2)) == "[[1, 0], [0, 1]]"
    assert one_line(np.arange(-3.0, 9.0)) == "(12,) from -3 to 8"
    assert one_line(np.full(12, 0.3)) == "(12,) all 0.3"
    assert one_line(np.array([1.0, np.inf, *range(8)])) == "(10,) from 0 to 7, 1 not finite"
    assert one_line(np.array([True] * 3 + [False] * 7)) == "(10,) 3 of 10 true"
    assert one_line(jnp.zeros((0, 3))).endswith("[0, 3]")
    assert one_line(jax.random.key(0)) == "random key"
    assert one_line(sx.Estimate(jnp.asarray(1.5), jnp.asarray(0.25))) == "1.5 ± 0.25"


def test_containers_are_printed_as_python_writes_them():
    from spectrax._show import one_line

    assert one_line((1, 2.5, True)) == "(1, 2.5, True)"
    assert one_line((np.arange(2.0),)) == "([0, 1],)"
    assert one_line([]) == "()"
    assert one_line({"a": (1.0, 2), "b": None}) == "a: (1, 2), b: None"
    exact, long = "1" * 68, "1" * 69  # with two quotes, as long as a line, and longer
    assert one_line(exact) == repr(exact) and one_line(long) == repr(long)[:68] + " …"


def test_everything_prints_values(solution):
    for thing in things(solution):
        short(repr(thing))
        assert repr(thing) == str(thing)


def test_traced_values_print_shapes(solution):
    @eqx.filter_jit
    def look(thing):
        lines.append(repr(thing))
        return jnp.ones(())

    for thing in things(solution):
        if any(isinstance(x, jax.Array) for x in jax.tree.leaves(thing)):
            lines = []
            look(thing)
            assert len(lines[0].splitlines()) <= 20
            assert "traced" in lines[0], lines[0]


def test_batched_abstract_and_deleted_values_print(solution):
    for thing in things(solution):
        batched = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 2), thing)
        assert len(repr(batched).splitlines()) <= 20
        assert len(repr(jax.eval_shape(lambda x=thing: x)).splitlines()) <= 20
    gone = sx.Semicircle(jnp.ones(()) + 1)
    gone.sigma.delete()
    assert repr(gone).splitlines() == ["Semicircle", "  sigma  float64[]"]


def test_objects_print_while_they_are_made():
    half = object.__new__(sx.MarchenkoPastur)
    assert repr(half) == "MarchenkoPastur"


@pytest.mark.parametrize("size", [1e-300, 1e-3, 1.0, 2416293.9479823, 1e300, np.inf])
def test_columns_stay_apart_whatever_the_numbers(size):
    from experiments._common import Verdict

    z, verdict = np.array([1.0, -2.0, 3.0]) * size, Verdict()
    names = ("x", "step of 1.3 x critical, of all layers")
    for name in names:
        verdict.measure(name, np.ones(3), 1 + z, np.ones(3))
    table = str(sx.Comparison(dict.fromkeys(names, z), dict.fromkeys(names, np.abs(z))))
    for text in (table, str(verdict).partition("\n")[2]):
        lines = text.splitlines()
        assert max(map(len, lines)) <= 110
        assert len(set(map(len, lines))) == 1
        cells = [re.split(r" {2,}", line) for line in lines]
        assert [len(row) for row in cells] == [6] * 3, text
        assert cells[0][:4] == ["quantity", "points", "rms", "worst"]
        assert [row[0] for row in cells[1:]] == list(names)
        for row in cells[1:]:
            worst = np.abs(z).max()
            assert row[1] == "3" and float(row[3]) == pytest.approx(worst, rel=0.05, abs=0.005)
