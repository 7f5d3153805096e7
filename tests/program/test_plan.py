"""The abstract pass: what a program declares, in its order."""

import jax.numpy as jnp
import pytest

from spectrax.program.abstract_pass import make_plan
from spectrax.program.objects import Constant, weight
from spectrax.program.plan import variances
from spectrax.training.order import backward_records, forward_records


def test_matrices_come_in_the_order_of_their_declaration():
    """Not of their names, of which W10 comes before W2, nor of their gradients."""
    depth = 12

    def objects(t):
        ends = {"x": Constant("s0", jnp.eye(1)), "y": Constant(f"s{depth}", jnp.eye(1))}
        return ends | {f"W{k}": weight(f"s{k + 1}", f"s{k}") for k in range(depth)}

    def program(ops, t):
        W, h, g = [ops[f"W{k}"] for k in range(depth)], [ops["x"]], ops["y"]
        for k in range(depth):
            h.append(W[k] @ h[k])
        for k in reversed(range(depth)):
            back = W[k].T @ g
            W[k].append(g, h[k])
            g = back

    def probe(ops, t):  # what runs afterwards changes nothing
        v = ops.recall("v", "s3", 1)
        ops.remember("v", ops["W3"].T @ (ops["W3"] @ v))

    names = tuple(f"W{k}" for k in range(depth))

    for programs in ([program], [program, probe]):
        plan = make_plan(programs, objects, {})
        assert tuple(matrix.name for matrix in plan.matrices) == names
        assert forward_records(plan, names) == (*(f"{name}.forward" for name in names), None)
        assert backward_records(plan, names) == (None, *(f"{name}.backward" for name in names))


def test_moments_of_a_matrix_of_unlike_sides():
    """With the default standard deviation; sums over rows: (1 / 4) 6."""
    found = variances({"V": weight("s1", "s0")}, {"s0": 4.0, "s1": 6.0})
    assert found.born == found.ratios == {"V.forward": 1.0, "V.backward": 1.5}


def test_an_unknown_object_is_refused_by_name():
    def program(ops, t):
        ops["W"] @ ops["x"]

    with pytest.raises(ValueError, match="no random object `x`, only `W`"):
        make_plan([program], lambda t: {"W": weight("rows", "cols")}, {})


def test_fields_of_a_spectrum_are_those_on_whose_noise_the_training_depends():
    """They make spikes or feed what is remembered; what is only reported is not among them."""

    def objects(t):
        ends = {name: Constant("cols", jnp.eye(2)) for name in ("x", "reported")}
        return ends | {"W": weight("rows", "cols"), "g": Constant("rows", jnp.eye(2))}

    def program(ops, t):
        W, g = ops["W"], ops["g"]
        report = W @ ops["reported"]
        fed = W @ (2.0 * ops["x"])
        h = ops["x"] + 0.1 * (W.T @ fed)
        W @ h
        W.T @ g
        W.T @ report
        W.append(g, h)
        ops.observe("numbers", ops.inner(report, report))

    (matrix,) = make_plan([program], objects, {}).matrices
    assert matrix.e == (2, 3, 4, 5) and matrix.f == (0, 1, 2, 3)
