"""`spectrax solve`: one network, its losses and the spectra of its weights."""

from spectrax.cli import common, outputs
from spectrax.cli.common import DEEPEST, LONGEST, integer, number, option, scale

EPILOG = """\
examples:
  spectrax solve
  spectrax solve --gamma0 6 --sigma 0.8 --simulate 300 --seeds 16
  spectrax solve wide --help
  spectrax solve outputs --help
  spectrax solve --depth 3 --num-classes 2 --teacher-gram "[[1, 0.5], [0.5, 1]]" --json

Writes solve.png and .pdf (losses, strengths, and for each layer its outliers against the step and
the final bulk), solve.npz (the numbers behind them), solve.json (parameters, seed, versions,
results).
A training that diverges is a result: its step is named, the steps before it are written, and the
exit code is 1.
An optimizer of your own is a Python object: use the library for it.
"""

WIDE_EPILOG = """\
examples:
  spectrax solve wide
  spectrax solve wide --depth 2 --activation gelu --simulate 500 --seeds 16
  spectrax solve wide --data samples.npz --eta 0.2

Without --data the inputs are Gaussian and the targets tanh(2 w.x / |w|) for a random direction w.
A data file holds arrays `inputs` (samples, dimension) and `targets` (samples,) or (samples,
outputs), and if you like `batches` (steps, batch): indices of the samples of each step.
Writes solve_wide.png and .pdf, .npz and .json like `spectrax solve`.
"""


class DeepLinearOptions:
    """A deep linear network: its layers all eject an outlier early, from bulks of two widths."""

    depth = option(2, integer(1, DEEPEST), "hidden layers")
    num_steps = option(40, integer(1, LONGEST), "training steps")
    alpha = option(4.0, scale, "samples (online: batch) per input dimension")
    nu = option(2.0, scale, "hidden width per input dimension")
    eta = option(0.015, common.rates, "learning rate, or one per step: a,b,…")
    gamma0 = option(5.0, number, "output multiplier; large is rich")
    sigma = option(1.0, scale, "standard deviation of the initial weights")
    parameterization = option(
        "mup",
        common.exponents,
        "mup, ntk, or exponents A,B of gamma = gamma0 nu^A and of the rate eta nu^B",
    )
    data = option("full_batch", str, "full_batch or online")
    num_classes = option(1, integer(1), "outputs")
    teacher_gram = option(
        None,
        common.matrix,
        "inner products of the teachers, in JSON (orthonormal)",
        metavar="MATRIX",
    )
    label_noise = option(0.0, number, "variance of the label noise")
    momentum = option(0.0, number, "heavy-ball momentum")
    weight_decay = option(0.0, number, "weight decay per step")


class WideOptions:
    """A wide nonlinear network; with the other defaults the loss never rises at these rates."""

    depth = option(3, integer(1, DEEPEST), "hidden layers")
    num_steps = option(16, integer(1, LONGEST), "training steps")
    eta = option(
        None,
        common.rates,
        "learning rate, or one per step: a,b,… (0.3 or, where the activation makes that unstable, "
        "less)",
    )
    gamma0 = option(4.0, number, "output multiplier; large is rich")
    sigma = option(1.0, scale, "standard deviation of the initial weights")
    activation = option("tanh", str, "tanh, erf, gelu, silu, softplus, relu or identity")
    loss = option("mse", str, "mse, logistic or cross_entropy")
    momentum = option(0.0, number, "heavy-ball momentum")
    weight_decay = option(0.0, number, "weight decay per step")


RATES = {"gelu": 0.2, "silu": 0.2, "relu": 0.2, "identity": 0.15}  # 0.3 does for the others


class DataOptions:
    """Data of a wide network."""

    data = option(None, str, "samples, .npz; else:", metavar="FILE")
    samples = option(6, integer(1), "single-index samples")
    dimension = option(20, integer(1), "their input dimension")


class EnsembleOptions:
    """Finite networks."""

    simulate = option(None, integer(2), "train networks with input dimension SIZE", metavar="SIZE")
    seeds = option(8, integer(2), "number of networks")
    seed = option(0, integer(0), "random seed")


class WideEnsembleOptions:
    """Sampled neurons, and finite networks."""

    neurons = option(4096, integer(16), "sampled neurons of each layer")
    simulate = option(None, integer(2), "train networks of width N", metavar="N")
    seeds = option(8, integer(2), "number of networks")
    seed = option(0, integer(0), "of data, neurons and networks")


def add_parser(commands) -> None:
    """Declare the command, and those of other models."""
    parser = common.add_command(
        commands,
        "solve",
        "losses, escaping outliers and weight spectra of one deep linear network",
        "Solve the theory of one deep linear network and the spectra of its weights.",
        EPILOG,
    )
    common.add_options(parser.add_argument_group("network and training"), DeepLinearOptions)
    common.add_options(
        parser.add_argument_group("finite networks to compare with"), EnsembleOptions
    )
    _add_rest(parser, 3, run)
    kinds = parser.add_subparsers(title="other models", metavar="MODEL")
    parser = common.add_command(
        kinds,
        "wide",
        "a wide nonlinear network instead of a deep linear one",
        "Solve the theory of one wide nonlinear network and its hidden weights.",
        WIDE_EPILOG,
    )
    group = parser.add_argument_group("network and training")
    common.add_options(group, WideOptions)
    common.add_options(group, DataOptions)
    group = parser.add_argument_group("theory and finite networks to compare with")
    common.add_options(group, WideEnsembleOptions)
    _add_rest(parser, 1, run_wide)
    outputs.add_parser(kinds)


def _add_rest(parser, count: int, run) -> None:
    common.add_options(parser.add_argument_group("output"), common.OutputOptions)
    parser.add_argument(
        "--count",
        type=integer(1),
        default=count,
        help="outliers to follow in each layer (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(args) -> int:
    """Solve, simulate, draw, write, print."""
    common.start(args)
    from spectrax.cli import report

    parameters = common.values_of(DeepLinearOptions, args)
    common.require_memory(  # each pair of steps has a correlation
        f"--depth {args.depth} --num-steps {args.num_steps} --num-classes {args.num_classes}",
        8 * (args.depth * args.num_steps**2 + args.num_classes**2),
    )
    return report.report_on(build_model(parameters), args, "solve", parameters)


def build_model(parameters: dict):
    """The model that the options describe."""
    import spectrax

    chosen = common.parameterization_of(parameters["parameterization"])
    return spectrax.DeepLinear(**parameters | {"parameterization": chosen})


def run_wide(args) -> int:
    """Solve, simulate, draw, write, print."""
    common.start(args)
    import jax

    from spectrax import SampledLimit, WideNetwork
    from spectrax.cli import report

    parameters = common.values_of(WideOptions, args)
    if args.eta is None:
        parameters["eta"] = RATES.get(args.activation, 0.3)
    data = read_data(args)
    model = WideNetwork(**parameters, **data)
    points = args.num_steps * len(data["inputs"])  # each pair of them has a correlation
    common.require_memory(
        f"--depth {args.depth} --num-steps {args.num_steps} on {len(data['inputs'])} samples",
        8 * args.depth * points**2,
    )
    limit = SampledLimit(args.neurons, key=jax.random.key(args.seed))
    parameters |= {"data": args.data, "neurons": args.neurons}
    parameters |= {"samples": len(data["inputs"]), "dimension": data["inputs"].shape[1]}
    return report.report_on(model, args, "solve_wide", parameters, limit)


def read_data(args) -> dict:
    """Inputs, targets and batches from the file, or single-index ones."""
    import numpy as np

    from spectrax.checkpoints.files import arrays_of

    if args.data is None:
        size = 16 * args.samples * args.dimension
        common.require_memory(f"--samples {args.samples} --dimension {args.dimension}", size)
        rng = np.random.default_rng(args.seed)
        inputs = rng.normal(size=(args.samples, args.dimension))
        direction = rng.normal(size=args.dimension)
        targets = np.tanh(2 * inputs @ direction / np.linalg.norm(direction))
        return {"inputs": inputs, "targets": targets}
    try:
        data = arrays_of(args.data, ("inputs", "targets", "batches", "test_inputs"))
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise common.UsageError(f"cannot read `{args.data}` as an .npz file: {reason}") from error
    for name in ("inputs", "targets"):
        if name not in data:
            raise common.UsageError(f"`{args.data}` has no array `{name}`")
        if data[name].dtype.kind not in "fiub":
            raise common.UsageError(f"`{name}` in `{args.data}` must be numbers")
    return data
