"""`spectrax transfer`: what it chooses where nothing is said."""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import spectrax as sx
from spectrax.cli import transfer, transfer_theory
from spectrax.cli.main import build_parser


@pytest.mark.parametrize("version", [(0, 10, 2), (0, 12)])
def test_flags_of_the_compiler_are_those_of_the_user(monkeypatch, version):
    monkeypatch.setattr(jax, "__version_info__", version)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    transfer._compile_quickly()
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=here"
    monkeypatch.delenv("XLA_FLAGS")
    transfer._compile_quickly()
    chosen = os.environ.get("XLA_FLAGS", "")
    assert ("optimization_level=1" in chosen) == (version < (0, 12))


@pytest.mark.slow
def test_the_defaults_show_what_the_documentation_says_of_them():
    """From width 1 to 8 sharpness stays within 4 % in µP, and falls by 2.6 in NTK."""
    args = build_parser().parse_args(["transfer"])
    model, _ = transfer_theory._model(args)
    assert (args.widths[0], args.widths[-1]) == (1.0, 8.0)

    @jax.jit
    def sharpness(nu, exponents):
        at = eqx.tree_at(lambda m: (m.nu, m.parameterization), model, (nu, exponents))
        return sx.ntk_path(sx.solve(at), kernel=at.governing_kernel)[-1]

    found = {
        name: [float(sharpness(nu, jax.tree.map(jnp.asarray, exponents))) for nu in (1.0, 8.0)]
        for name, exponents in {"mup": sx.mup, "ntk": sx.ntk}.items()
    }
    assert found["mup"][1] == pytest.approx(found["mup"][0], rel=0.04)
    assert found["ntk"][0] / found["ntk"][1] == pytest.approx(2.6, abs=0.05)
