"""Small transfer matrices."""

import numpy as np

from spectrax.spectrum.trajectory._few_fields import Problem


def test_products_with_the_factors_are_products_with_the_matrix():
    r"""Any factors, $C$ symmetric; rows of a and c are the two halves of a vector."""
    rng = np.random.default_rng(0)
    steps, r, m = 2, 3, 4
    Ce, Cf, Se, Sf, K = rng.normal(size=(5, steps, r, r))
    Ce, Cf = Ce + Ce.swapaxes(1, 2), Cf + Cf.swapaxes(1, 2)
    problem = Problem(Ce, Cf, Se, Sf, K, np.array(1.7))
    a, c = rng.normal(size=(2, steps, m, r))
    new_a, new_c, *_ = problem.apply(a, c)
    product = np.concatenate([a, c], axis=-1) @ problem.matrix().swapaxes(1, 2) / 1.7
    np.testing.assert_allclose(np.concatenate([new_a, new_c], axis=-1), product, rtol=1e-10)
