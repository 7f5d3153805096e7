"""What an argument is, in a few words of an error message."""

import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.check import named


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gelu", "'gelu'"),
        (None, "None"),
        (True, "True"),
        (3, "3"),
        (2.5, "2.5"),
        (1j, "1j"),
        (np.float64(0.1), repr(np.float64(0.1))),
        (np.zeros((2, 3)), "an array of shape (2, 3)"),
        (jnp.zeros(4), "an array of shape (4,)"),
        ([1, 2], "a list"),
        (sx.Estimate, "the class Estimate"),
        (sx.Estimate(np.ones(()), np.ones(())), "an Estimate"),
        (sx.mup, "a Parameterization"),
    ],
)
def test_values_are_shown_and_objects_named(value, words):
    assert named(value) == words
