"""Calls with arguments of a wrong kind, made as a user makes them: without checks of annotations.

As a script it prints what each of them raised, in JSON.
"""

import json
import types

import jax
import numpy as np

import spectrax as sx

sx.enable_x64()
KEY = jax.random.key(0)
RATES = dict(alpha=4.0, nu=2.0, eta=0.05, gamma0=4.0)
MODEL = sx.DeepLinear(1, 2, **RATES)
UNLEARNING = sx.AntiHebbian(2, dt=0.1, mu=0.0, kappa=1.0)
SOLUTION = sx.solve(UNLEARNING)  # compiles quickly
KERNEL = types.SimpleNamespace(model=MODEL, weights=None)  # looks like a solution, unsolved
SPIKES = sx.SymmetricSpikes([[1.0]], [[0.0]], [[2.0]])
LAW = sx.MarchenkoPastur(1.0)


def deep_linear(**changes):
    """A model with some arguments changed."""
    return lambda: sx.DeepLinear(1, 2, **(RATES | changes))


# call, argument that is named, what it is said to be
CALLS = {
    "text for a number": (deep_linear(eta="a"), "eta", "'a'"),
    "nothing for a number": (deep_linear(eta=None), "eta", "None"),
    "ragged list": (deep_linear(alpha=[[1, 2], [3]]), "alpha", "a list"),
    "complex number": (deep_linear(nu=2j), "nu", "2j"),
    "dictionary": (deep_linear(nu={}), "nu", "a dict"),
    "text for a matrix": (deep_linear(teacher_gram="a"), "teacher_gram", "'a'"),
    "name of a parameterization": (deep_linear(parameterization="mup"), "parameterization", "mup"),
    "name of an optimizer": (deep_linear(optimizer="adam"), "optimizer", "'adam'"),
    "leak": (lambda: sx.AntiHebbian(2, dt=0.1, mu="a", kappa=1.0), "mu", "'a'"),
    "inputs": (
        lambda: sx.WideNetwork(2, 3, inputs="a", targets=[1.0], eta=0.1, gamma0=1.0),
        "inputs",
        "'a'",
    ),
    "number for a key": (lambda: sx.SampledLimit(64, key=3), "key", "3"),
    "solve a number": (lambda: sx.solve(2), "model", "2"),
    "solve a solution": (lambda: sx.solve(SOLUTION), "model", "a Solution"),
    "solve a class": (lambda: sx.solve(sx.DeepLinear), "model", "the class DeepLinear"),
    "name of a solver": (lambda: sx.solve(MODEL, solver="newton"), "solver", "'newton'"),
    "name of an adjoint": (lambda: sx.solve(MODEL, adjoint="x"), "adjoint", "'x'"),
    "spikes of a model": (lambda: sx.spikes(MODEL, 0, 1), "solution", "a DeepLinear"),
    "name of a layer": (lambda: sx.spikes(SOLUTION, "W1", 1), "layer", "W1"),
    "broken step": (lambda: sx.spikes(SOLUTION, 0, 1.5), "step", "1.5"),
    "text for a step": (lambda: sx.spikes(SOLUTION, 0, "a"), "step", "'a'"),
    "outliers of a solution": (lambda: sx.outliers(SOLUTION), "spikes", "a Solution"),
    "outliers of a model": (lambda: sx.outliers(MODEL), "spikes", "a DeepLinear"),
    "outliers of a number": (lambda: sx.outliers(2), "spikes", "an array of shape ()"),
    "outliers of a coupling": (
        lambda: sx.outliers(sx.CoupledSpikeModel(1, H=abs, G=abs, aspect=1.0)),
        "spikes",
        "a CoupledSpikeModel",
    ),
    "margin": (lambda: sx.margin(SOLUTION), "spikes", "a Solution"),
    "overlaps": (lambda: sx.overlaps(SOLUTION), "spikes", "a Solution"),
    "strengths": (lambda: sx.strengths(LAW), "spikes", "a MarchenkoPastur"),
    "transfer matrix": (lambda: sx.transfer_matrix(SOLUTION), "spikes", "a Solution"),
    "critical strength": (lambda: sx.critical_strength(MODEL), "spikes", "a DeepLinear"),
    "determinant": (lambda: sx.determinant_outliers(MODEL, 1), "spikes", "a DeepLinear"),
    "generator": (lambda: sx.probe_generator(MODEL), "spikes", "a DeepLinear"),
    "escape of a model": (lambda: sx.escape_time(MODEL, 0), "solution", "a DeepLinear"),
    "escape of a solution": (lambda: sx.escape_time_of(SOLUTION), "weights", "a Solution"),
    "path of a solution": (lambda: sx.outlier_path(SOLUTION), "weights", "a Solution"),
    "path of spikes": (lambda: sx.margin_path(SPIKES), "weights", "a SymmetricSpikes"),
    "strengths of a model": (lambda: sx.strength_path(MODEL), "weights", "a DeepLinear"),
    "compress a solution": (lambda: sx.compress(SOLUTION), "weights", "a Solution"),
    "Krylov": (lambda: sx.krylov(MODEL, 0, 1), "solution", "a DeepLinear"),
    "sharpness of a model": (lambda: sx.ntk_top(MODEL, 1), "solution", "a DeepLinear"),
    "text for a step of the kernel": (lambda: sx.ntk_top(KERNEL, "a"), "step", "'a'"),
    "path of a model": (lambda: sx.ntk_path(MODEL), "solution", "a DeepLinear"),
    "law of a model": (lambda: sx.ntk_law(MODEL, 1), "solution", "a DeepLinear"),
    "no tangent kernel": (
        lambda: sx.ntk_top(SOLUTION, 1),
        "solution",
        "that of AntiHebbian",
    ),
    "stability of a model": (lambda: sx.stability(MODEL), "solution", "a DeepLinear"),
    "stable rate": (lambda: sx.max_stable_lr(SOLUTION), "model", "a Solution"),
    "no learning rate": (lambda: sx.max_stable_lr(UNLEARNING), "model", "an AntiHebbian"),
    "best rate": (lambda: sx.optimal_lr(2), "model", "2"),
    "fit": (lambda: sx.fit_parameterization(SOLUTION, [1, 2]), "model", "a Solution"),
    "report": (lambda: sx.transfer_report(SOLUTION, [1, 2]), "model", "a Solution"),
    "compare a model": (lambda: sx.compare(MODEL, SOLUTION), "solution", "a DeepLinear"),
    "compare with itself": (lambda: sx.compare(SOLUTION, SOLUTION), "ensemble", "a Solution"),
    "simulate a number": (lambda: sx.simulate(2, 100, key=KEY), "model", "2"),
    "simulate with a number": (lambda: sx.simulate(MODEL, 20, key=0), "key", "0"),
    "size": (lambda: sx.simulate(MODEL, "a", key=KEY), "size", "a"),
    "flow": (lambda: sx.flow(MODEL, 10, key=KEY), "model", "a DeepLinear"),
    "Dyson equation": (lambda: sx.dyson(MODEL, 1j), "pencil", "a DeepLinear"),
    "free sum": (lambda: sx.free_sum(LAW, 2), "first", "a MarchenkoPastur"),
    "response": (lambda: sx.trace_response(MODEL, [1.0]), "law", "a DeepLinear"),
    "aspect": (lambda: sx.MarchenkoPastur("a"), "aspect", "'a'"),
    "width": (lambda: sx.Semicircle(None), "sigma", "None"),
    "correlations": (lambda: sx.CoupledSpikes("a", 1, 1, 1, 1, 1, 1), "Ce", "'a'"),
    "symmetric": (lambda: sx.SymmetricSpikes([[1.0]], [[0.0]], "a"), "K", "'a'"),
    "location": (lambda: sx.location("a", 1.0), "strength", "'a'"),
    "product": (lambda: sx.one_step_outputs("a", 1.0, 1.0), "nu", "'a'"),
    "exponent": (lambda: sx.Parameterization("a"), "output_exponent", "'a'"),
    "no exponent": (lambda: sx.Parameterization(0.5, None), "lr_exponent", "None"),
    "infinite exponent": (lambda: sx.Parameterization(0.5, np.inf), "lr_exponent", "inf"),
    "text for widths": (lambda: sx.transfer_gaps("a", [1.0], [1.0]), "widths", "'a'"),
    "text for losses": (lambda: sx.transfer_gaps([1, 2], [1, 2, 3], "a"), "losses", "'a'"),
    "text for runs": (lambda: sx.transfer_runs("a", [1.0], [1.0]), "widths", "'a'"),
    "text for a weight": (lambda: sx.top_eigenvalues("a"), "W", "'a'"),
    "list for a weight": (lambda: sx.top_eigenvalues([1.0, 2.0]), "W", "an array of shape (2,)"),
    "number for a file": (lambda: sx.open_checkpoint(3), "path", "3"),
    "number for files": (lambda: sx.find_snapshots(3), "paths", "3"),
    "a number among files": (lambda: sx.find_snapshots(["a", 3]), "paths", "3"),
    "one file for several": (lambda: sx.find_snapshots("a.npz"), "paths", "'a.npz'"),
    "array of text": (lambda: sx.Semicircle(np.array(["a", "b"])), "sigma", "an array of shape"),
}


def found() -> dict[str, tuple[str, str]]:
    """Type and text of what each call raised."""
    raised = {}
    for name, (call, _, _) in CALLS.items():
        try:
            call()
            raised[name] = ("nothing", "")
        except Exception as error:
            raised[name] = (type(error).__name__, str(error))
    return raised


if __name__ == "__main__":
    print(json.dumps(found()))
