"""The abstract pass: what a program declares, in its order."""

import jax.numpy as jnp

from spectrax.program.plan import make_plan
from spectrax.training.order import first_layer, layer_records


def test_matrices_come_in_the_order_of_their_declaration():
    """Not of their names, of which W10 comes before W2, nor of their gradients."""
    depth = 12

    def program(ops, t):
        W = [ops.weight(f"W{k}", f"s{k + 1}", f"s{k}") for k in range(depth)]
        h = [ops.constant("x", "s0", jnp.eye(1))]
        for k in range(depth):
            h.append(W[k] @ h[k])
        g = ops.constant("y", f"s{depth}", jnp.eye(1))
        for k in reversed(range(depth)):
            back = W[k].T @ g
            W[k].append(g, h[k])
            g = back

    def probe(ops, t):  # what runs afterwards changes nothing
        W = ops.weight("W3", "s4", "s3")
        v = ops.recall("v", "s3", 1)
        ops.remember("v", W.T @ (W @ v))

    names = tuple(f"W{k}" for k in range(depth))

    def more(ops, t):  # a weight of unlike sides, with the default standard deviation
        ops.weight("V", "s1", "s0").T @ ops.constant("z", "s1", jnp.eye(1))
        ops.weight("V", "s1", "s0") @ ops.constant("x", "s0", jnp.eye(1))

    _, variances = make_plan([more], {"s0": 4.0, "s1": 6.0})  # sums over rows: (1 / 4) 6
    assert variances.born == {"V.forward": 1.0, "V.backward": 1.5}

    for programs in ([program], [program, probe]):
        plan, _ = make_plan(programs, {f"s{k}": 1.0 for k in range(depth + 1)})
        assert tuple(name for name, _ in plan.spikes) == names
        forward, backward = layer_records(plan)
        assert forward == (*(f"{name}.forward" for name in names), None)
        assert backward == (None, *(f"{name}.backward" for name in names))
        assert first_layer(plan) == 0
