"""Derivatives without differentiation, for the gradient checks."""

import numpy as np


def central_differences(value, p, step=1e-3):
    """Derivatives of value at p by differences of fourth order; entries of p on the last axis.

    Args:
        value: function of an array like p.
        p: where, (n,).
        step: of each entry, relative to it.
    """
    p, columns = np.asarray(p), []
    for i, h in enumerate(step * np.abs(p)):
        e = np.zeros(len(p))
        e[i] = h
        outer = np.asarray(value(p + 2 * e)) - np.asarray(value(p - 2 * e))
        inner = np.asarray(value(p + e)) - np.asarray(value(p - e))
        columns.append((8 * inner - outer) / (12 * h))
    return np.stack(columns, -1)
