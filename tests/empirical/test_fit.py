"""The statistic of the bulk that the noise level is fitted to."""

import numpy as np

from spectrax.empirical.fit import _statistic


def test_the_known_trace_corrects_what_probes_see_and_no_full_spectrum():
    """Of small eigenvalues the statistic is the trace over s; probes see other traces."""
    rng, count, s = np.random.default_rng(0), 50, 2.0
    nodes = s * 1e-5 * rng.uniform(size=(4, 20))
    weights = rng.dirichlet(np.ones(20), size=4)
    seen = count * np.sum(weights * nodes, axis=1)
    trace = 1.3 * seen.mean()
    assert np.ptp(seen) > 0.05 * trace
    np.testing.assert_allclose(_statistic(nodes, weights, trace, count, s), trace / s, rtol=1e-4)
    alone = _statistic(nodes[:1], weights[:1], trace, count, s)
    np.testing.assert_allclose(alone, seen[:1] / s, rtol=1e-4)
