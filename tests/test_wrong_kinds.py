"""An argument of a wrong kind is refused in one sentence that names it and says what it is."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from quick_compilation import with_flags
from wrong_kinds import CALLS

SCRIPT = pathlib.Path(__file__).with_name("wrong_kinds.py")


@pytest.fixture(scope="module")
def raised():
    """In a process of its own: in the tests the annotations are checked first."""
    quickly = os.environ | {"XLA_FLAGS": with_flags(os.environ.get("XLA_FLAGS"))}
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=quickly, cwd=SCRIPT.parents[1]
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_kind_is_one_sentence(raised, name):
    kind, sentence = raised[name]
    _, argument, value = CALLS[name]
    assert kind == "ValueError", f"{kind}: {sentence}"
    assert sentence.startswith(f"Argument `{argument}` must be ")
    assert sentence.endswith(".") and "\n" not in sentence and ". " not in sentence
    assert value in sentence.split(", got ")[-1]


def test_right_kinds_pass():
    """What the checks must let through: numbers of all sorts, traced values, both sorts of keys."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from spectrax import _kind, check

    for value in (1, 1.0, np.float32(2), np.array([1, 2]), jnp.ones(3, jnp.bfloat16), [1.0, 2]):
        assert check.positive("x", value) is value
    assert jax.jit(lambda x: check.number("x", check.positive("x", x)))(-1.0) == -1.0
    assert jax.jit(lambda t: check.step(t, 3))(9) == 9
    for step in (2, np.int64(2), jnp.asarray(2)):
        assert check.step(step, 3) == 2
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        assert _kind.key(key) is key
    with pytest.raises(ValueError, match="one random key"):
        _kind.key(jax.random.split(jax.random.key(0)))
