"""The language model: sizes, causality, rotary positions, precision, recomputation."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks as plain
import pytest
from flax import nnx

from models.coordinates import layer_outputs
from models.gpt import GPT, PAPER_SIZES, rotate
from models.loss import token_cross_entropy

TOKENS = jax.random.randint(jax.random.key(0), (2, 9), 0, 16, jnp.int32)
TINY = {"vocab_size": 16, "base_width": 32, "base_layers": 2, "base_head_size": 16}


@jax.jit
def forward(model, tokens):
    return model(tokens)


def tiny(layers=2, **options):
    """Built in one compilation."""

    def build():
        return GPT(32, 2, layers, **TINY, **options, rngs=nnx.Rngs(0))

    graph, _ = nnx.split(nnx.eval_shape(build))
    return nnx.merge(graph, jax.jit(lambda: nnx.state(build()))())


@pytest.mark.parametrize("size", PAPER_SIZES)
def test_paper_sizes(size):
    d, heads, layers = size
    model = nnx.eval_shape(lambda: GPT(*size, rngs=nnx.Rngs(0)))
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    block = 4 * d**2 + 8 * d**2 + 4 * d  # attention, MLP, four gains
    assert sum(x.size for x in params) == 2 * 50257 * d + layers * block + d
    assert {x.dtype for x in params} == {jnp.dtype(jnp.float32)}
    assert model.scaling.width == d / 768 and model.scaling.depth == layers / 12
    attention = model.blocks[0].attention
    assert attention.rope_base == 5e5 and not model.remat
    assert attention.softmax_scale == pytest.approx(64**0.5 / (d / heads))


def test_smallest_paper_size_and_its_logits():
    model = nnx.eval_shape(lambda: GPT(*PAPER_SIZES[0], rngs=nnx.Rngs(0)))
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(x.size for x in params) == 13_654_400
    tokens = jnp.zeros((3, 1024), jnp.int32)
    logits = nnx.eval_shape(lambda: GPT(*PAPER_SIZES[0], rngs=nnx.Rngs(0))(tokens))
    assert logits.shape == (3, 1024, 50257) and logits.dtype == jnp.float32


def test_a_later_token_changes_nothing_before_it():
    model = tiny()
    before = forward(model, TOKENS)
    after = forward(model, TOKENS.at[:, 5].set((TOKENS[:, 5] + 1) % 16))
    np.testing.assert_array_equal(after[:, :5], before[:, :5])
    for position in range(5, 9):
        assert np.abs(after[:, position] - before[:, position]).max() > 1e-4


def test_attention_depends_on_relative_positions_only():
    q, k = jax.random.normal(jax.random.key(1), (2, 6, 1, 16), jnp.float32)
    positions = jnp.arange(6)

    def logits(shift):
        a, b = (rotate(x, positions + shift, base=100.0)[:, 0] for x in (q, k))
        return a @ b.T

    np.testing.assert_allclose(logits(37), logits(0), atol=2e-5)
    np.testing.assert_allclose(jnp.sum(rotate(q, positions) ** 2, -1), jnp.sum(q**2, -1), rtol=1e-5)
    one = jnp.broadcast_to(q[:1], q.shape)  # the same vector everywhere: only distances are left
    same = rotate(one, positions)[:, 0] @ rotate(one, positions)[:, 0].T
    for distance in range(6):
        diagonal = jnp.diagonal(same, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=2e-5)
    assert float(same[0, 0] - same[0, 5]) > 0.1
    assert rotate(q.astype(jnp.bfloat16), positions).dtype == jnp.bfloat16


def test_features_turn_as_the_formula_says():
    """Pairs of features as complex numbers, times a phase."""
    x = np.random.default_rng(0).normal(size=(5, 2, 8))
    positions, k = np.arange(5), np.arange(4)
    phase = np.exp(1j * np.arange(5)[:, None, None] * 100.0 ** (-2 * k / 8))
    turned = (x[..., :4] + 1j * x[..., 4:]) * phase
    found = rotate(jnp.asarray(x), jnp.asarray(positions), base=100.0)
    np.testing.assert_allclose(found[..., :4], turned.real, atol=1e-5)
    np.testing.assert_allclose(found[..., 4:], turned.imag, atol=1e-5)


@pytest.mark.parametrize(("parameterization", "power"), [("mup", 1.0), ("standard", 0.5)])
def test_attention_shrinks_with_the_size_of_heads(parameterization, power):
    """As 1/size in µP, with 1/√size at the base size; as 1/√size in standard parameterization."""
    for size in (8, 16, 32):
        options = TINY | {"parameterization": parameterization}
        model = nnx.eval_shape(
            lambda n=64 // size, more=options: GPT(64, n, 1, **more, rngs=nnx.Rngs(0))
        )
        scale = model.blocks[0].attention.softmax_scale
        assert scale == pytest.approx((16 / size) ** power / 4)


def test_order_of_earlier_tokens_matters():
    """One layer without positions could not tell; the last token sees both arrangements."""
    model = tiny(layers=1)
    swapped = TOKENS.at[:, [1, 2]].set(TOKENS[:, [2, 1]])
    assert np.abs(forward(model, swapped) - forward(model, TOKENS))[:, -1].max() > 1e-4


def test_recomputation_gives_the_same_gradient():
    def gradient(remat):
        graph, params = nnx.split(tiny(1, remat=remat), nnx.Param)

        def loss(p):
            return token_cross_entropy(nnx.merge(graph, p), TOKENS[:, :-1], TOKENS[:, 1:])

        return jax.jit(jax.value_and_grad(loss))(params)

    (plain, a), (recomputed, b) = gradient(False), gradient(True)
    assert float(plain) == pytest.approx(float(recomputed), rel=1e-6)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_half_precision_computes_with_single_precision_parameters():
    single, half = tiny(), tiny(dtype=jnp.bfloat16)
    params = jax.tree.leaves(nnx.state(half, nnx.Param))
    assert {x.dtype for x in params} == {jnp.dtype(jnp.float32)}
    x, y = forward(single, TOKENS), forward(half, TOKENS)
    assert x.dtype == y.dtype == jnp.float32
    error = float(jnp.sqrt(jnp.mean((x - y) ** 2) / jnp.mean(x**2)))
    assert 1e-4 < error < 0.05


def test_every_layer_computes_in_half_precision():
    def inside():
        model = GPT(32, 2, 2, **TINY, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        return layer_outputs(model, TOKENS)

    found = nnx.eval_shape(inside)
    assert len(found) == 3 + 2 * 13 and {x.dtype for x in found.values()} == {jnp.dtype("bfloat16")}


def test_logits_are_those_of_the_formula():
    """One block at half of the base depth, in plain NumPy with gains that are not one."""
    model, rng = tiny(1, gamma0=4.0, rope_base=50.0), np.random.default_rng(0)
    p = {}
    for path, param in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        if path[-1] == "scale":
            param.set_value(jnp.asarray(rng.uniform(0.5, 1.5, 32), jnp.float32))
        p[".".join(map(str, path[:-1]))] = np.asarray(param.get_value(), float)
    x, at = p["embedding"][np.asarray(TOKENS)], "blocks.0.attention"
    y = plain.rms_norm(x, p[f"{at}_norm"])
    q, k = (plain.rms_norm(y @ p[f"{at}.{n}"], p[f"{at}.{n}_norm"]) for n in ("query", "key"))
    v, mixed = y @ p[f"{at}.value"], np.empty_like(x)
    for i in range(2):
        for head in (slice(0, 16), slice(16, 32)):
            turned = (plain.turned(z[i, :, head], 50.0) for z in (q, k))
            mixed[i, :, head] = plain.attention(*turned, v[i, :, head], 1 / 4)
    x = x + 2 * mixed @ p[f"{at}.out"]
    y = plain.rms_norm(x, p["blocks.0.mlp_norm"]) @ p["blocks.0.mlp.up"]
    x = x + 2 * plain.gelu(y) @ p["blocks.0.mlp.down"]
    expected = plain.rms_norm(x, p["norm"]) @ p["readout"] / 4
    np.testing.assert_allclose(forward(model, TOKENS), expected, atol=1e-4 * np.abs(expected).max())


def test_heads_that_do_not_divide_are_one_sentence():
    with pytest.raises(ValueError, match="Argument `num_heads` must split d_model 32 .* got 3."):
        GPT(32, 3, 1, rngs=nnx.Rngs(0))
