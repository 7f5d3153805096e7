"""Decoder-only transformer: rotary positions, normalised queries and keys, pre-norm."""

import jax
import jax.numpy as jnp
from flax import nnx

from models.layers import PARAM, linear, rms_norm
from models.roles import tag
from models.scaling import Scaling
from spectrax import check

PAPER_SIZES = ((128, 4, 4), (512, 8, 8), (1024, 16, 16), (1280, 20, 16), (2048, 16, 16))


def rotate(x: jax.Array, positions: jax.Array, base: float = 5e5) -> jax.Array:
    r"""Rotary positions: pairs of features turn by an angle that grows with the position.

    $$(x_k + i\,x_{k+n/2}) \mapsto e^{i\,p\,b^{-2k/n}}(x_k + i\,x_{k+n/2}), \qquad 0 \le k < n/2$$

    Args:
        x: (..., positions, heads, n), n even.
        positions: p, (positions,).
        base: b.

    Returns:
        The same shape and type; angles are computed in single precision.
    """
    half = x.shape[-1] // 2
    frequency = jnp.float32(base) ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (positions.astype(jnp.float32)[:, None] * frequency)[:, None]  # (positions, 1, half)
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class Attention(nnx.Module):
    """Causal self-attention; queries and keys are normalised over all heads before they turn."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        scaling: Scaling,
        *,
        softmax_scale: float,
        rope_base: float,
        sigma: float,
        dtype,
        rngs: nnx.Rngs,
    ):
        def layer():
            options = {"branch": True, "sigma": sigma, "dtype": dtype, "rngs": rngs}
            return linear(d_model, d_model, "hidden", scaling, **options)

        self.query, self.key, self.value, self.out = layer(), layer(), layer(), layer()
        self.query_norm = rms_norm(d_model, branch=True, dtype=dtype, rngs=rngs)
        self.key_norm = rms_norm(d_model, branch=True, dtype=dtype, rngs=rngs)
        self.num_heads, self.softmax_scale, self.rope_base = num_heads, softmax_scale, rope_base

    def __call__(self, x: jax.Array) -> jax.Array:
        def heads(y):
            return y.reshape(*y.shape[:-1], self.num_heads, -1)

        positions = jnp.arange(x.shape[-2])
        query = rotate(heads(self.query_norm(self.query(x))), positions, self.rope_base)
        key = rotate(heads(self.key_norm(self.key(x))), positions, self.rope_base)
        mixed = jax.nn.dot_product_attention(
            query, key, heads(self.value(x)), scale=self.softmax_scale, is_causal=True
        )
        return self.out(mixed.reshape(x.shape))


class MLP(nnx.Module):
    """W₂ gelu(W₁ x), four times as wide inside."""

    def __init__(self, d_model: int, scaling: Scaling, *, sigma: float, dtype, rngs: nnx.Rngs):
        options = {"branch": True, "sigma": sigma, "dtype": dtype, "rngs": rngs}
        self.up = linear(d_model, 4 * d_model, "hidden", scaling, **options)
        self.down = linear(4 * d_model, d_model, "hidden", scaling, **options)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(nnx.gelu(self.up(x)))


class Block(nnx.Module):
    """x + attention(norm(x))/d, then x + mlp(norm(x))/d."""

    def __init__(
        self, d_model: int, attention: Attention, mlp: MLP, scaling: Scaling, *, dtype, rngs
    ):
        self.attention_norm = rms_norm(d_model, branch=True, dtype=dtype, rngs=rngs)
        self.attention = attention
        self.mlp_norm = rms_norm(d_model, branch=True, dtype=dtype, rngs=rngs)
        self.mlp = mlp
        self.multiplier = scaling.branch

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.multiplier * self.attention(self.attention_norm(x))
        return x + self.multiplier * self.mlp(self.mlp_norm(x))


class GPT(nnx.Module):
    """Language model of the paper's sizes, scaled in width and depth.

    In µP the logits of the attention are q·k √(base head size)/(head size), and 1/√(head size) in
    standard parameterization; wider networks at fixed head size have more heads.

    Args:
        d_model: width of the residual stream.
        num_heads: heads of d_model / num_heads features, an even number.
        num_layers: blocks of attention and MLP.
        vocab_size: number of tokens.
        base_width: d_model at which µP and standard parameterization are the same.
        base_layers: number of layers at which they are.
        base_head_size: size of the heads at which they are.
        gamma0: richness γ₀ of `models.scaling.Scaling`.
        parameterization: "mup" or "standard".
        sigma: initial standard deviation of kernels times √fan_in.
        readout_sigma: the same of the readout, at base width.
        embedding_std: initial standard deviation of embeddings; where it is small against what a
            branch adds, the norms divide the depth multipliers away.
        rope_base: base of the rotary positions.
        dtype: of the computation, float32 or bfloat16; parameters and logits are float32.
        remat: recompute every block in the backward pass instead of storing what is inside.
        rngs: random keys.

    Raises:
        ValueError: if a size is not a positive integer, or heads do not divide the width.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from models.gpt import GPT
        >>> model = GPT(32, 2, 2, vocab_size=64, rngs=nnx.Rngs(0))
        >>> model(jnp.zeros((5, 16), jnp.int32)).shape
        (5, 16, 64)
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_layers: int,
        *,
        vocab_size: int = 50257,
        base_width: int = 768,
        base_layers: int = 12,
        base_head_size: int = 64,
        gamma0: float = 1.0,
        parameterization: str = "mup",
        sigma: float = 1.0,
        readout_sigma: float = 1.0,
        embedding_std: float = 0.2,
        rope_base: float = 5e5,
        dtype=PARAM,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        sizes = {"d_model": d_model, "num_heads": num_heads, "num_layers": num_layers}
        sizes |= {"vocab_size": vocab_size, "base_width": base_width, "base_layers": base_layers}
        for name, value in (sizes | {"base_head_size": base_head_size}).items():
            check.integer(name, value, 1)
        if d_model % (2 * num_heads):
            raise ValueError(
                f"Argument `num_heads` must split d_model {d_model} into heads of even size, "
                f"got {num_heads}."
            )
        scaling = Scaling(d_model / base_width, num_layers / base_layers, gamma0, parameterization)
        size = d_model // num_heads
        base_size = base_head_size if parameterization == "mup" else size
        options = {"sigma": sigma, "dtype": dtype, "rngs": rngs}

        def block():
            attention = Attention(
                d_model,
                num_heads,
                scaling,
                softmax_scale=base_size**0.5 / size,
                rope_base=rope_base,
                **options,
            )
            mlp = MLP(d_model, scaling, **options)
            return Block(d_model, attention, mlp, scaling, dtype=dtype, rngs=rngs)

        self.scaling, self.remat = scaling, remat
        self.embedding = nnx.Embed(
            vocab_size,
            d_model,
            dtype=dtype,
            param_dtype=PARAM,
            embedding_init=nnx.initializers.normal(embedding_std),
            embedding_metadata=tag("input"),
            rngs=rngs,
        )
        self.blocks = nnx.List([block() for _ in range(num_layers)])
        self.norm = rms_norm(d_model, dtype=dtype, rngs=rngs)
        self.readout = linear(
            d_model,
            vocab_size,
            "output",
            scaling,
            **options | {"sigma": readout_sigma},
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Tokens (batch, positions) to logits of the next token (batch, positions, vocabulary)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = nnx.remat(Block.__call__)(block, x) if self.remat else block(x)
        features = self.scaling.forward("output") * self.norm(x)
        return self.readout(features).astype(PARAM)
