"""The helper of the gradient checks."""

import numpy as np
from differences import central_differences


def test_differences_of_fourth_order_are_exact_for_quartics():
    def value(p):
        return np.array([p[0] ** 4 - 2 * p[0] * p[1], p[1] ** 3])

    found = central_differences(value, np.array([1.5, -2.0]), step=0.1)
    exact = [[4 * 1.5**3 + 4.0, -3.0], [0.0, 12.0]]
    np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-10)


def test_their_error_falls_with_the_fourth_power_of_the_step():
    errors = [
        abs(central_differences(np.exp, np.array([1.0]), step)[0, 0] - np.e) for step in (0.2, 0.1)
    ]
    np.testing.assert_allclose(errors[0] / errors[1], 16, rtol=0.02)
