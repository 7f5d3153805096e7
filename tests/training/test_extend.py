"""The models that `docs/howto/extend.md` writes agree with their networks, matrix by matrix."""

import contextlib
import io
import pathlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import spectrax as sx
from spectrax.program import Constant, Matrix, Space, Vector, weight

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "howto" / "extend.md"
MODELS = {"residual": (4, 24), "two": (1, 32), "convolution": (1, 32)}  # matrices, networks


@pytest.fixture(scope="module")
def page():
    """What its examples define; the last one, a simulation, is left out."""
    text, names = PAGE.read_text("utf-8"), {"__name__": "page"}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[:-1]:
            exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_each_model_is_short():
    classes = re.findall(r"^class .*?(?=^\S|\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(classes) == len(MODELS)
    assert all(len(text.strip().splitlines()) <= 40 for text in classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_matrix_has_the_outlier_of_its_networks(page, name):
    """Finite-size: losses and tops within 4 standard errors, halved by four times the size."""
    model, (count, seeds) = page[name], MODELS[name]
    solution, last = sx.solve(model), model.num_steps
    names = solution.order.matrices
    assert len(names) == count
    found = [sx.outliers(sx.spikes(solution, name, last), 1) for name in names]
    assert all(x.escaped[0] for x in found)
    errors = []
    for size in (75, 300):
        ensemble = sx.simulate(model, size, key=jax.random.key(size), num_seeds=seeds)
        tops = ensemble.top_eigenvalues
        location = np.array([x.location[0] for x in found])
        z = (tops.mean[:, 0, 0] - location) / tops.stderr[:, 0, 0]
        z_loss = (ensemble.train_loss.mean - solution.train_loss) / ensemble.train_loss.stderr
        print(name, size, z, z_loss)
        if size == 300:
            assert np.abs(z).max() < 4, f"N = {size}, {seeds} seeds: {z} standard errors"
            assert np.abs(z_loss).max() < 4, f"N = {size}, {seeds} seeds: {z_loss}"
        errors.append(np.mean(tops.stderr / tops.mean))
    assert 1.15 < errors[0] / errors[1] < 3.4  # each error is known to an eighth


@pytest.mark.slow
def test_the_residual_network_is_that_of_the_theory_page(page):
    """Section 11.2, four layers, a = b = 1: test losses and the outlier of the middle layer."""
    solution = sx.solve(page["residual"])
    np.testing.assert_allclose(
        solution.test_loss[np.array([12, 16, 19])], [0.625, 0.292, 0.150], atol=6e-4
    )
    top = sx.outliers(sx.spikes(solution, "W2", 20), 1).location[0]
    np.testing.assert_allclose(top, 6.239, atol=6e-4)


TEST, TRAIN = (
    (0.6537780874, 0.1271280713, 0.02105813625),
    (0.6079720295, 0.06367295939, 0.004979048234),
)


class PowerLaw(sx.AbstractDMFT):
    """One hidden layer on data of many variances; a teacher of given second moments."""

    num_steps: int = eqx.field(static=True)
    variances: Float[Array, " groups"]
    teacher: Float[Array, " groups"]

    def spaces(self):
        count = len(self.variances)
        return {"input": Space(1.0, np.full(count, 1 / count)), "samples": 2.0, "hidden": 1.0}

    def objects(self, t):
        return {
            "X": Matrix("samples", "input"),
            "W0": weight("hidden", "input"),
            "w": Vector("hidden", 1),
            "teacher": Constant("input", jnp.eye(1)),
        }

    def program(self, ops, t):
        X, W, g, root = ops["X"], ops["W0"], ops["w"].value, jnp.sqrt(self.variances)
        teacher = ops.scale(ops["teacher"], jnp.sqrt(self.teacher))
        delta = ops.scale(teacher - W.T @ g / 8.0, root)
        error = X @ delta
        h = ops.scale(X.T @ error / 2.0, root)
        ops["w"].append(W @ h)
        W.append(g, h)
        ops.observe("test_error", ops.inner(delta, delta))
        ops.observe("train_error", ops.inner(error, error))

    def rates(self):
        return jnp.full(self.num_steps, 0.03 * 8.0)

    def rounded(self, size):
        raise NotImplementedError


@pytest.mark.slow
def test_groups_have_the_numbers_of_another_program():
    """Power-law data in thirty groups: losses and outliers found by an independent code."""
    k = np.arange(1.0, 31.0)
    signal = k**-1.25 / np.mean(k**-1.25)
    variances = k**-1.0 / np.mean(1 / k)
    solution = sx.solve(PowerLaw(40, jnp.asarray(variances), jnp.asarray(signal / variances)))
    at = np.array([1, 10, 39])
    np.testing.assert_allclose(solution.test_loss[at], TEST, rtol=1e-9)
    np.testing.assert_allclose(solution.train_loss[at], TRAIN, rtol=1e-9)
    for step, location in ((5, 4.618664458), (10, 5.537812795), (40, 7.015876231)):
        found = sx.outliers(sx.spikes(solution, 0, step), 1).location[0]
        np.testing.assert_allclose(found, location, rtol=1e-9)
