"""The examples in the documentation of the training loop run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["dense", "record", "training", pytest.param("twin", marks=pytest.mark.slow)]
)
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(f"models.{name}"))
    assert found.attempted and not found.failed
