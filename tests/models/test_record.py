"""Steps of snapshots."""

import numpy as np
import pytest

from models.record import log_spaced


def test_steps_are_log_spaced():
    steps = np.array(log_spaced(10, 10_000, 13))
    assert (steps[0], steps[-1], len(steps)) == (10, 10_000, 13)
    ratios = steps[1:] / steps[:-1]
    np.testing.assert_allclose(ratios, 10**0.25, rtol=0.05)
    assert log_spaced(1, 6, 20) == (1, 2, 3, 4, 5, 6)
    assert log_spaced(4, 4, 3) == (4,)


def test_bad_requests():
    with pytest.raises(ValueError, match="`first` must be an integer of at least 1, got 0"):
        log_spaced(0, 10, 3)
    with pytest.raises(ValueError, match="`last` must be an integer of at least 5, got 4"):
        log_spaced(5, 4, 3)
