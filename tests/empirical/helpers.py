"""Matrices whose spectra are known."""

import numpy as np


def spiked(rng, N, M, strengths, sigma=1.0):
    """Noise with entries of variance σ² and orthogonal spikes of these strengths θ², times √M."""
    u, v = (np.linalg.qr(rng.normal(size=(n, len(strengths))))[0] for n in (N, M))
    return sigma * rng.normal(size=(N, M)) + np.sqrt(M) * (u * np.sqrt(strengths)) @ v.T
