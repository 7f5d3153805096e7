"""Deep linear networks: reference values, matrix formulas, limits, and bad input."""

import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import deep_linear_kernels

import spectrax as sx

CASES = json.loads((Path(__file__).parents[1] / "data" / "cases.json").read_text())["deep_linear"]
NAMES = [f"L{c['depth']}-{c['parameterization']}-{c['data']}" for c in CASES]
BASE = {"alpha": 3.0, "nu": 1.0, "eta": 0.03, "gamma0": 2.5}
T = 14  # one shape for many tests: compiled once


@cache
def solved(index):
    case = CASES[index]
    keys = ("alpha", "nu", "eta", "gamma0", "sigma", "data")
    model = sx.DeepLinear(
        case["depth"],
        case["num_steps"],
        parameterization=getattr(sx, case["parameterization"]),
        **{key: case[key] for key in keys},
    )
    return sx.solve(model)


SLOWER = dict.fromkeys(("L2-ntk-full_batch", "L3-mup-full_batch"), pytest.mark.slow)
REFERENCE = [pytest.param(i, id=x, marks=SLOWER.get(x, [])) for i, x in enumerate(NAMES)]


@pytest.mark.parametrize("index", REFERENCE)
def test_losses_and_kernels_of_the_reference_cases(index):
    case, solution = CASES[index], solved(index)
    np.testing.assert_allclose(solution.test_loss, case["test_loss"], atol=1e-10)
    np.testing.assert_allclose(solution.train_loss, case["train_loss"], atol=1e-10)
    np.testing.assert_allclose(np.diag(solution.order.Cg[1]), case["Cg1_diag"], rtol=1e-10)
    np.testing.assert_allclose(np.diag(solution.order.Ch[-1]), case["ChL_diag"], rtol=1e-10)
    assert solution.stats["residual"] < 1e-12


# spectrum/trajectory/test_escape.py has the same trajectories of the slow ones.
@pytest.mark.parametrize("index", REFERENCE)
def test_spectra_of_the_reference_cases(index):
    for layer in CASES[index]["layers"]:
        weights = solved(index).weights(layer["layer"])
        strength = np.asarray(sx.strength_path(weights))[1:, 0]
        location = np.asarray(sx.outlier_path(weights).location)[1:, 0]
        zero = np.abs(layer["top_strength"]) < 1e-12
        np.testing.assert_allclose(strength[zero], 0.0, atol=1e-10)
        np.testing.assert_allclose(
            strength[~zero], np.array(layer["top_strength"])[~zero], atol=1e-6
        )
        np.testing.assert_allclose(location, layer["top_eigenvalue"], atol=1e-6)
        escape = sx.escape_time(solved(index), layer["layer"])
        expected = layer["escape_time_linear_interpolation"]
        np.testing.assert_allclose(escape, np.inf if expected is None else expected, atol=1e-6)


@pytest.mark.parametrize("index", [i for i, case in enumerate(CASES) if "simulation" in case])
def test_reference_simulations_agree_within_four_standard_errors(index):
    """Direct NumPy trainings, six or four seeds, sizes 1000 and 1500: they know no theory."""
    case, solution = CASES[index], solved(index)
    found = case["simulation"]
    for name in ("test_loss", "train_loss"):
        theory = np.asarray(getattr(solution, name))
        z = (np.array(found[f"{name}_mean"]) - theory) / np.array(found[f"{name}_se"])
        assert np.abs(z).max() < 4.0, f"{name}: D = {found['D']}, {found['seeds']} seeds"
    for layer in case["layers"]:
        k = layer["layer"]
        for i, step in enumerate(found["spectrum_steps"]):
            if layer["top_strength"][step - 1] > 1.3 * layer["critical_strength"]:
                gap = found["top_eigenvalue_mean"][i][k] - layer["top_eigenvalue"][step - 1]
                assert abs(gap) < 4 * found["top_eigenvalue_se"][i][k]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "options"),
    [
        (1, {}),
        (2, {"sigma": 0.8, "nu": 0.5, "label_noise": 0.3}),
        (3, {"data": "online", "label_noise": 0.2, "eta": np.linspace(0.03, 0.005, T)}),
        (2, {"num_classes": 3, "nu": 2.0, "label_noise": 0.1, "teacher_gram": None}),
        (2, {"num_classes": 2, "data": "online", "teacher_gram": [[1.0, 0.6], [0.6, 1.5]]}),
    ],
)
def test_program_is_the_matrix_form_of_section_3(depth, options):
    """The independent oracle: time matrices acting on trajectories, in plain NumPy."""
    options = BASE | options
    teacher = options.pop("teacher_gram", None)
    if options.get("num_classes") == 3:
        teacher = [[1.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.8]]
    options["teacher_gram"] = None if teacher is None else np.array(teacher)
    solution = sx.solve(sx.DeepLinear(depth, T, **options))
    oracle = deep_linear_kernels(depth, T, **options)
    np.testing.assert_allclose(solution.test_loss, oracle.test_loss, rtol=1e-10)
    np.testing.assert_allclose(solution.train_loss, oracle.train_loss, rtol=1e-10)
    for layer in range(depth):
        ours, theirs = solution.weights(layer), oracle.layer(layer)
        for name in ("Ce", "Cf", "Re", "Rf", "coordinates", "aspect", "sigma"):
            np.testing.assert_allclose(getattr(ours, name), theirs[name], atol=1e-10, err_msg=name)


@pytest.mark.parametrize(
    ("options", "losses"),
    [
        pytest.param({"momentum": 0.8}, [0.5624, 0.1315, 0.0328], marks=pytest.mark.slow),
        pytest.param({"weight_decay": 0.05}, [0.7834, 0.6760, 0.6420], marks=pytest.mark.slow),
        ({"momentum": 0.7, "weight_decay": 0.03}, [0.6443, 0.3301, 0.2171]),
        ({"optimizer": optax.sgd(1.0, momentum=0.8)}, [0.5624, 0.1315, 0.0328]),
    ],
)
def test_momentum_and_decay(options, losses):
    solution = sx.solve(sx.DeepLinear(2, T, **BASE, **options))
    np.testing.assert_allclose(solution.test_loss[jnp.array([3, 8, 13])], losses, atol=5e-5)


@cache
def with_momentum_and_decay():
    options = {"alpha": 4.0, "nu": 1.0, "eta": 0.03, "gamma0": 5.0}
    return sx.solve(sx.DeepLinear(2, 20, **options, momentum=0.5, weight_decay=0.01))


def test_spectrum_with_momentum_and_decay():
    for layer, expected in enumerate([3.223, 3.069]):
        found = sx.outliers(sx.spikes(with_momentum_and_decay(), layer, 20), 1)
        np.testing.assert_allclose(found.location, expected, atol=5e-4)


def test_outliers_of_the_theory_page():
    """L = 1, alpha = 2, nu = 1, eta = 0.1, gamma = 4: z_out at t = 10, 20, 39."""
    for step, expected in ((10, 4.4994), (20, 4.6754), (39, 4.7540)):
        found = sx.outliers(sx.spikes(solved(0), 0, step), 1)
        np.testing.assert_allclose(found.location, expected, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("index", "layer", "step"), [(0, 0, 20), (1, 1, 30), (3, 2, 25)])
def test_krylov_probe_finds_the_outlier_of_the_transfer_matrix(index, layer, step):
    exact = sx.outliers(sx.spikes(solved(index), layer, step), 1)
    found = sx.ritz_values(solved(index), layer, step, num=80)
    assert exact.escaped[0]
    np.testing.assert_allclose(found[0], exact.location[0], rtol=1e-6)


def test_krylov_probe_with_momentum_and_decay():
    exact = sx.outliers(sx.spikes(with_momentum_and_decay(), 1, 20), 1)
    found = sx.ritz_values(with_momentum_and_decay(), 1, 20)
    np.testing.assert_allclose(found[0], exact.location[0], rtol=1e-9)


@pytest.mark.slow
def test_krylov_probe_starts_from_the_forward_field_of_the_last_update():
    """Its first coefficient is the mean of W^T W in that field, also in large resolvents."""
    solution, z, step = solved(1), 1e4, 3
    spikes = sx.spikes(solution, 0, step)
    both = sx.resolvent_overlaps(spikes, z) + sx.resolvent_overlaps(spikes, -z)
    means = jnp.diagonal(z**2 * both / 2)[:step] / jnp.diagonal(spikes.Ce)[:step]
    a, _ = sx.krylov(solution, 0, step, num=2)
    np.testing.assert_allclose(a[0], means[step - 1], rtol=1e-5)
    assert abs(means[step - 1] - means[step - 2]) > 1e-3


def test_krylov_coefficients_tend_to_those_of_the_bulk():
    a, b = sx.krylov(solved(1), 0, 20, num=30)  # nu = 2: a = sigma^2 (1 + nu), b = sigma^2 sqrt nu
    np.testing.assert_allclose([a[-1], b[-2]], [3.0, np.sqrt(2.0)], rtol=1e-6)


# limits that must agree


def test_wide_networks_in_mup_do_not_depend_on_width():
    wide = [sx.solve(sx.DeepLinear(2, T, **BASE | {"nu": nu})) for nu in (1e3, 1e6, 1e9)]
    gaps = [float(jnp.abs(w.test_loss - wide[-1].test_loss).max()) for w in wide]
    assert gaps[0] < 1e-3
    assert gaps[1] < 1e-3 * gaps[0] * 1.5  # first order in 1/nu


def test_lazy_limit_is_kernel_gradient_descent():
    """nu to infinity, then gamma0 to zero: delta(t+1) = (1 - eta (L+1)) delta(t) for online data
    with alpha to infinity, in units where sigma = 1; and no outlier."""
    depth, eta = 2, 0.05
    model = sx.DeepLinear(depth, T, alpha=1e9, nu=1e12, eta=eta, gamma0=1e-3, data="online")
    solution = sx.solve(model)
    shrink = (1 - eta * (depth + 1)) ** 2
    np.testing.assert_allclose(solution.test_loss[1:] / solution.test_loss[:-1], shrink, rtol=1e-4)
    assert sx.escape_time(solution, 1) == np.inf


def test_infinite_data_is_population_gradient_descent():
    losses = [
        sx.solve(sx.DeepLinear(2, T, **BASE | {"alpha": 1e9, "data": data})).test_loss
        for data in ("online", "full_batch")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-7)


@pytest.mark.parametrize("data", ["full_batch", pytest.param("online", marks=pytest.mark.slow)])
def test_classes_with_orthonormal_teachers_are_copies_of_one_class(data):
    one = sx.solve(sx.DeepLinear(2, T, **BASE, data=data))
    three = sx.solve(sx.DeepLinear(2, T, **BASE, data=data, num_classes=3))
    np.testing.assert_allclose(three.test_loss, one.test_loss, rtol=1e-11)
    np.testing.assert_allclose(three.order.Ch[1], np.kron(one.order.Ch[1], np.eye(3)), atol=1e-11)
    np.testing.assert_allclose(three.order.Rg[1], np.kron(one.order.Rg[1], np.eye(3)), atol=1e-11)


def test_gradient_flow_is_the_limit_of_small_steps():
    """Loss at fixed eta t: error of first order in eta."""
    ends = []
    for steps in (20, 40, 80):
        model = sx.DeepLinear(2, 81, **BASE | {"eta": 0.4 / steps})
        ends.append(float(sx.solve(model).test_loss[steps]))
    assert 1.7 < (ends[0] - ends[1]) / (ends[1] - ends[2]) < 2.4


def test_a_solve_contains_every_shorter_one():
    long, short = solved(1), sx.solve(sx.DeepLinear(2, T, alpha=4.0, nu=2.0, eta=0.03, gamma0=4.0))
    np.testing.assert_allclose(long.test_loss[:T], short.test_loss, rtol=1e-12)
    np.testing.assert_allclose(long.order.Rh[1][:T, :T], short.order.Rh[1], atol=1e-13)


# bad input


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nu": -1.0}, "Argument `nu` must be positive, got -1.0."),
        ({"alpha": 0.0}, "Argument `alpha` must be positive, got 0.0."),
        ({"sigma": np.nan}, "Argument `sigma` must be finite, got nan."),
        ({"gamma0": np.inf}, "Argument `gamma0` must be finite, got inf."),
        ({"eta": -0.1}, "Argument `eta` must be non-negative, got -0.1."),
        (
            {"eta": np.ones(3)},
            r"Argument `eta` must be a scalar or of shape \(5,\), got shape \(3,\).",
        ),
        ({"nu": np.ones(2)}, r"Argument `nu` must be a scalar, got shape \(2,\)."),
        ({"data": "batch"}, "Argument `data` must be 'full_batch' or 'online', got 'batch'."),
        ({"num_classes": 0}, "Argument `num_classes` must be an integer of at least 1, got 0."),
        ({"teacher_gram": np.eye(2)}, r"Argument `teacher_gram` must have shape \(1, 1\)"),
        ({"teacher_gram": -np.eye(1)}, "`teacher_gram` must be positive semi-definite"),
        ({"label_noise": -1.0}, "Argument `label_noise` must be non-negative, got -1.0."),
        ({"momentum": 1.0}, "Argument `momentum` must be at least 0 and below 1, got 1.0."),
        ({"optimizer": optax.adam(1.0)}, "Argument `optimizer` must be linear"),
        (
            {"optimizer": optax.sgd(1.0), "momentum": 0.5},
            "Argument `momentum` must be 0 when `optimizer` is given, got 0.5.",
        ),
    ],
)
def test_bad_hyperparameters_are_refused_in_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        sx.DeepLinear(2, 5, **BASE | change)


def test_a_rate_of_zero_is_a_rate_and_a_negative_one_is_none():
    """Where no number can be refused, `valid` tells."""
    valid = jax.vmap(lambda eta: sx.DeepLinear(2, 5, **BASE | {"eta": eta}).valid())
    assert valid(jnp.array([0.1, 0.0, -0.1])).tolist() == [True, True, False]


@pytest.mark.parametrize("depth", [0, 1.5, True])
def test_depth_must_be_a_whole_number(depth):
    with pytest.raises(ValueError, match="Argument `depth` must be an integer of at least 1"):
        sx.DeepLinear(depth, 5, **BASE)
