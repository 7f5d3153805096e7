"""Invariances of trainings, spikes and spectra, at random settings."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays

import spectrax as sx
from spectrax.seam import CoupledSpikes
from spectrax.spectrum.spikes.transfer_matrix import transpose

L, T, C = 2, 4, 2


def given(examples=12, **strategies):
    """The same examples in every run."""
    settings = hypothesis.settings(
        max_examples=examples, derandomize=True, deadline=None, database=None
    )
    return lambda test: settings(hypothesis.given(**strategies)(test))


def between(low, high):
    return st.floats(low, high, allow_subnormal=False)


def matrices(*shape):
    return arrays.arrays(float, shape, elements=between(-1.0, 1.0))


def rotations(size):
    return matrices(size, size).map(lambda x: np.linalg.qr(x + 3 * np.eye(size))[0])


SETTINGS = st.fixed_dictionaries(
    {
        "alpha": between(0.3, 5.0),
        "nu": between(0.3, 5.0),
        "gamma0": between(0.1, 5.0),
        "sigma": between(0.3, 1.5),
        "label_noise": between(0.0, 1.0),
        "momentum": between(0.0, 0.9),
        "weight_decay": between(0.0, 0.1),
        "eta": arrays.arrays(float, T, elements=between(0.0, 0.1)),
        "data": st.sampled_from(["full_batch", "online"]),
    }
)
GRAMS = matrices(C, C).map(lambda x: x @ x.T + 0.1 * np.eye(C))


def network(settings, **changes):
    return sx.DeepLinear(L, **{"num_steps": T} | settings | changes)


def solved(settings, **changes):
    return sx.solve(network(settings, **changes), throw=False)


def same_losses(found, expected, rtol=1e-9):
    np.testing.assert_allclose(found.test_loss, expected.test_loss, rtol=rtol)
    np.testing.assert_allclose(found.train_loss, expected.train_loss, rtol=rtol)


def rotated(order, rotation, steps=T):
    """Kernels between (step, class) whose classes are rotated."""
    turn = np.kron(np.eye(steps), rotation)
    return [turn @ x @ turn.T for x in (order.Ch[1], order.Cg[1], order.Rh[1], order.Rg[1])]


# training


@pytest.mark.slow
@given(settings=SETTINGS, gram=GRAMS)
def test_a_training_contains_every_shorter_one(settings, gram):
    whole = solved(settings, num_classes=C, teacher_gram=gram)
    short = solved(
        settings, num_steps=T - 1, eta=settings["eta"][:-1], num_classes=C, teacher_gram=gram
    )
    n = (T - 1) * C
    np.testing.assert_allclose(whole.test_loss[: T - 1], short.test_loss, rtol=1e-10)
    for name in ("Ch", "Cg", "Rh", "Rg"):
        long, brief = getattr(whole.order, name)[1], getattr(short.order, name)[1]
        np.testing.assert_allclose(long[:n, :n], brief[:n, :n], rtol=1e-9, atol=1e-12)


@given(settings=SETTINGS, gram=GRAMS, turn=rotations(C))
@pytest.mark.slow
def test_rotated_teachers_are_rotated_kernels(settings, gram, turn):
    """A swap of the classes, and any rotation."""
    here = solved(settings, num_classes=C, teacher_gram=gram)
    for rotation in (turn, np.eye(C)[::-1]):
        there = solved(settings, num_classes=C, teacher_gram=rotation @ gram @ rotation.T)
        same_losses(there, here)
        found = rotated(there.order, np.eye(C))
        for x, y in zip(found, rotated(here.order, rotation), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@given(settings=SETTINGS)
def test_orthonormal_teachers_are_copies_of_one(settings):
    one, many = solved(settings), solved(settings, num_classes=C)
    same_losses(many, one)
    for name in ("Ch", "Cg", "Rh", "Rg"):
        copies = np.kron(getattr(one.order, name)[1], np.eye(C))
        np.testing.assert_allclose(getattr(many.order, name)[1], copies, rtol=1e-9, atol=1e-10)


@given(settings=SETTINGS, factor=between(0.3, 3.0))
@pytest.mark.slow
def test_the_scale_of_the_weights_goes_into_multiplier_and_rate(settings, factor):
    r"""Weights s W, multiplier $\gamma s^{L+1}$ and rate $\eta s^{-2L}$ are one network."""
    changes = {
        "sigma": settings["sigma"] * factor,
        "gamma0": settings["gamma0"] * factor ** (L + 1),
        "eta": settings["eta"] / factor ** (2 * L),
    }
    here, there = solved(settings), solved(settings, **changes)
    same_losses(there, here)
    for layer in range(1, L):
        weights, scaled = (sx.spikes(x, layer, T) for x in (here, there))
        np.testing.assert_allclose(
            sx.outliers(scaled, 1).location,
            factor**2 * sx.outliers(weights, 1).location,
            rtol=1e-8,
        )


@pytest.mark.slow
@given(settings=SETTINGS, examples=3)
def test_a_batch_is_the_loop_and_jit_changes_nothing(settings):
    models = [network(settings, gamma0=gamma0) for gamma0 in (0.5, 1.0, 2.0)]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *models)
    together = jax.vmap(lambda model: sx.solve(model, throw=False))(batch)
    compiled = eqx.filter_jit(lambda model: sx.solve(model, throw=False))
    for i, model in enumerate(models):
        alone = sx.solve(model, throw=False)
        same_losses(jax.tree.map(lambda x, i=i: x[i], together), alone, 1e-11)
        same_losses(compiled(model), alone, 1e-11)


@given(
    mu=between(-0.5, 1.0),
    kappa=between(-1.0, 1.0),
    sigma=between(0.3, 1.5),
    decay=between(0.0, 1.0),
    variance=between(0.2, 3.0),
    unit=between(0.3, 3.0),
)
def test_a_linear_network_knows_no_unit_of_time_or_activity(
    mu, kappa, sigma, decay, variance, unit
):
    """Matrices are rates: t -> t/s, J -> s J. A state sqrt v times as large pushes v times."""
    steps, dt = 6, 0.2
    here = sx.solve(
        sx.AntiHebbian(steps, dt=dt, mu=mu, kappa=kappa, sigma=sigma, decay=decay), throw=False
    )
    there = sx.solve(
        sx.AntiHebbian(
            steps,
            dt=dt / unit,
            mu=mu * unit,
            kappa=kappa * unit**2 / variance,
            sigma=sigma * unit,
            decay=decay * unit,
            x0_variance=variance,
        ),
        throw=False,
    )
    for side in ("above", "below"):
        small, large = (sx.outliers(sx.spikes(x, 0, steps), 1, side=side) for x in (here, there))
        np.testing.assert_allclose(
            large.location, unit * small.location, rtol=1e-7, atol=1e-7 * unit
        )
    np.testing.assert_allclose(
        there.observed["activity"], variance * here.observed["activity"], rtol=1e-8
    )


@given(
    x=matrices(3, 4), y=matrices(3, C), turn=rotations(4), mix=rotations(C), gamma0=between(0.3, 3)
)
def test_wide_networks_have_no_favourite_directions(x, y, turn, mix, gamma0):
    """Rotated inputs are the same inputs; rotated targets, rotated predictions; order is free."""
    options = {"eta": 0.1, "gamma0": gamma0, "activation": "identity"}
    x, order = x + np.eye(3, 4), [2, 0, 1]
    here = sx.solve(sx.WideNetwork(2, 3, inputs=x, targets=y, **options))
    there = sx.solve(
        sx.WideNetwork(2, 3, inputs=(x @ turn)[order], targets=(y @ mix)[order], **options)
    )
    np.testing.assert_allclose(
        there.predictions, (here.predictions @ mix)[:, np.array(order)], rtol=1e-8, atol=1e-10
    )


# spikes

P, Q = 3, 2


@st.composite
def coupled(draw):
    """Any correlations, responses and couplings."""
    A, B = draw(matrices(Q, Q)), draw(matrices(P, P))
    return CoupledSpikes(
        Ce=A @ A.T,
        Cf=B @ B.T,
        Re=0.3 * draw(matrices(Q, P)),
        Rf=0.3 * draw(matrices(P, Q)),
        K=2 * draw(matrices(P, Q)),
        aspect=draw(between(0.3, 3.0)),
        sigma=draw(between(0.3, 1.5)),
    )


def mixed(spikes, left, right):
    r"""Fields $f' = A f$, $e' = B e$ of the same matrix, for invertible A and B.

    $K' = A^{-\top} K B^{-1}$; responses $R_f = \partial f/\partial(W_0 e)$ become those to the
    new images.
    """
    A, B = jnp.asarray(left), jnp.asarray(right)
    A_, B_ = jnp.linalg.inv(A), jnp.linalg.inv(B)
    return CoupledSpikes(
        Ce=B @ spikes.Ce @ B.T,
        Cf=A @ spikes.Cf @ A.T,
        Re=B @ spikes.Re @ A_,
        Rf=A @ spikes.Rf @ B_,
        K=A_.T @ spikes.K @ B_,
        aspect=spikes.aspect,
        sigma=spikes.sigma,
    )


def same_outliers(found, expected, factor=1.0):
    """Simple leading eigenvalues are known to rounding, nearly defective ones to its root."""
    x, y = sx.outliers(found, 1), sx.outliers(expected, 1)
    np.testing.assert_allclose(x.strength, factor * y.strength, rtol=1e-6, atol=1e-6 * factor)
    np.testing.assert_allclose(x.location, factor * y.location, rtol=1e-6)


@given(30, spikes=coupled(), left=rotations(P), right=rotations(Q))
def test_fields_may_be_mixed(spikes, left, right):
    """Rotations, signs, and any other basis."""
    signs = np.diag([-1.0, 1.0, -1.0]), np.diag([1.0, -1.0])
    same_outliers(mixed(spikes, left, right), spikes)
    same_outliers(mixed(spikes, *signs), spikes)
    same_outliers(mixed(spikes, left + 2 * np.eye(P), right + 2 * np.eye(Q)), spikes)


@given(30, spikes=coupled())
def test_a_matrix_and_its_transpose_have_the_same_outliers(spikes):
    same_outliers(transpose(spikes), spikes)


@given(30, spikes=coupled(), factor=between(0.3, 3.0))
def test_a_multiple_of_the_matrix_has_multiples_of_its_outliers(spikes, factor):
    r"""$cW_0$ gives images c times as large, to which fields respond 1/c times."""
    scaled = CoupledSpikes(
        Ce=spikes.Ce,
        Cf=spikes.Cf,
        Re=spikes.Re / factor,
        Rf=spikes.Rf / factor,
        K=factor * spikes.K,
        aspect=spikes.aspect,
        sigma=factor * spikes.sigma,
    )
    same_outliers(scaled, spikes, factor**2)


@given(30, spikes=coupled(), share=between(-1.0, 2.0))
def test_a_spike_may_be_split(spikes, share):
    """One field twice, its coupling divided: each copy is answered through its share."""
    copy, shares = np.eye(Q)[[0, 1, 0]], np.eye(Q, Q + 1)
    shares[0] = share, 0.0, 1 - share
    copy, shares = jnp.asarray(copy), jnp.asarray(shares)
    split = CoupledSpikes(
        Ce=copy @ spikes.Ce @ copy.T,
        Cf=spikes.Cf,
        Re=copy @ spikes.Re,
        Rf=spikes.Rf @ shares,
        K=spikes.K @ shares,
        aspect=spikes.aspect,
        sigma=spikes.sigma,
    )
    same_outliers(split, spikes)
