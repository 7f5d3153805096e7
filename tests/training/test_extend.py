"""The models that `docs/howto/extend.md` writes agree with their networks, matrix by matrix."""

import contextlib
import io
import pathlib
import re

import jax
import numpy as np
import pytest

import spectrax as sx

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
