"""The places of random breakages."""

import pytest
from mutant_places import Places

TEXT = """
def f(a, b=2, *, c: int = 0):
    '''Not 1 + 1 of a docstring.'''
    if a < b and not c:
        raise ValueError(f"1 + {a}")
    return g(a, µ := 0.5, key=-b) * 3, True
"""


def mutants(text):
    return {text[:start] + new + text[end:] for start, end, new in Places(text).found}


def test_every_kind_of_place_is_found_and_nothing_in_messages_or_docstrings():
    changed = {
        ("b=2", "b=3"),
        ("= 0)", "= 1)"),
        ("a < b and not c", "not (a < b and not c)"),
        ("a < b", "a <= b"),
        ("and", "or"),
        ("not c", "c"),
        ("a, µ := 0.5", "µ := 0.5, a"),
        ("0.5", "1.0"),
        ("-b", "b"),
        (") * 3", ") / 3"),
        ("* 3", "* 4"),
        ("True", "False"),
    }
    assert mutants(TEXT) == {TEXT.replace(old, new) for old, new in changed}


SAME = ["max(a, b)", "min(a, b, c)", "jnp.maximum(a, b)", "np.minimum(a, b)", "jnp.hypot(a, b)"]
SAME += ["f(a, a)", "np.outer(x[i], x[i])"]


@pytest.mark.parametrize("call", SAME)
def test_arguments_that_may_change_places_do_not(call):
    assert mutants(call) == set()


@pytest.mark.parametrize(
    "call", ["np.outer(a, b)", "max(a, b, key=f)", "x.max(a, b)", "f.maximum(a, b)", "pow(a, b)"]
)
def test_others_do(call):
    assert mutants(call) == {call.replace("a, b", "b, a")}


def test_what_stands_inside_of_them_is_changed():
    assert mutants("max(a + b, c)") == {"max(a - b, c)"}
