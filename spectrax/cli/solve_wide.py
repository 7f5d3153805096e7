"""`spectrax solve wide`: one wide nonlinear network on given or single-index data."""

import argparse

from spectrax.cli import options

EPILOG = """\
examples:
  spectrax solve wide
  spectrax solve wide --depth 2 --activation gelu --simulate 500 --seeds 16
  spectrax solve wide --data samples.npz --eta 0.2

Without --data the inputs are Gaussian and the targets tanh(2 w.x / |w|) for a random direction w.
A data file holds arrays `inputs` (samples, dimension) and `targets` (samples,) or (samples,
outputs), and if you like `batches` (steps, batch): indices of the samples of each step.
Writes solve_wide.png and .pdf, .npz and .json like `spectrax solve`.
"""

# With the other defaults the loss never rises at these rates; 0.3 does for the others.
RATES = {"gelu": 0.2, "silu": 0.2, "relu": 0.2, "identity": 0.15}
DEFAULTS = {"depth": 3, "num_steps": 16, "eta": 0.3, "gamma0": 4.0, "sigma": 1.0}


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "wide",
        help="a wide nonlinear network instead of a deep linear one",
        description="Solve the theory of one wide nonlinear network and its hidden weights.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("network and training")

    def add(name, kind, default, text):
        group.add_argument(name, type=kind, default=default, help=f"{text} (%(default)s)")

    add("--depth", options.integer(1, options.DEEPEST), DEFAULTS["depth"], "hidden layers")
    add("--num-steps", options.integer(1, options.LONGEST), DEFAULTS["num_steps"], "training steps")
    group.add_argument(
        "--eta",
        type=options.rates,
        help=f"learning rate, or one per step: a,b,… ({DEFAULTS['eta']} or, where the activation "
        "makes that unstable, less)",
    )
    add("--gamma0", options.number, DEFAULTS["gamma0"], "output multiplier; large is rich")
    add("--sigma", options.scale, DEFAULTS["sigma"], "standard deviation of the initial weights")
    add("--activation", str, "tanh", "tanh, erf, gelu, silu, softplus, relu or identity")
    add("--loss", str, "mse", "mse, logistic or cross_entropy")
    add("--momentum", options.number, 0.0, "heavy-ball momentum")
    add("--weight-decay", options.number, 0.0, "weight decay per step")
    group.add_argument("--data", metavar="FILE", help="samples, .npz; else:")
    add("--samples", options.integer(1), 6, "single-index samples")
    add("--dimension", options.integer(1), 20, "their input dimension")
    group = parser.add_argument_group("theory and finite networks to compare with")
    add("--neurons", options.integer(16), 4096, "sampled neurons of each layer")
    group.add_argument(
        "--simulate", type=options.integer(2), metavar="N", help="train networks of width N"
    )
    add("--seeds", options.integer(2), 8, "number of networks")
    add("--seed", options.integer(0), 0, "of data, neurons and networks")
    options.add_output_options(parser, "spectrax-results")
    parser.add_argument(
        "--count",
        type=options.integer(1),
        default=1,
        help="outliers to follow in each layer (%(default)s)",
    )
    parser.set_defaults(run=run)


MODEL_OPTIONS = (
    *("depth", "num_steps", "eta", "gamma0", "sigma", "activation", "loss"),
    *("momentum", "weight_decay"),
)


def run(args) -> int:
    """Solve, simulate, draw, write, print."""
    from spectrax.cli import session

    session.start(args)
    import jax

    from spectrax import SampledLimit, WideNetwork
    from spectrax.cli.solve import report_on

    parameters = {name: getattr(args, name) for name in MODEL_OPTIONS}
    if args.eta is None:
        parameters["eta"] = RATES.get(args.activation, DEFAULTS["eta"])
    data = read_data(args)
    rest = {name: parameters[name] for name in MODEL_OPTIONS[2:]}
    model = WideNetwork(args.depth, args.num_steps, **rest, **data)
    points = args.num_steps * len(data["inputs"])  # each pair of them has a correlation
    options.require_memory(
        f"--depth {args.depth} --num-steps {args.num_steps} on {len(data['inputs'])} samples",
        8 * args.depth * points**2,
    )
    limit = SampledLimit(args.neurons, key=jax.random.key(args.seed))
    parameters |= {"data": args.data, "neurons": args.neurons}
    parameters |= {"samples": len(data["inputs"]), "dimension": data["inputs"].shape[1]}
    return report_on(model, args, "solve_wide", parameters, limit)


def read_data(args) -> dict:
    """Inputs, targets and batches from the file, or single-index ones."""
    import numpy as np

    from spectrax.checkpoints.files import arrays_of

    if args.data is None:
        size = 16 * args.samples * args.dimension
        options.require_memory(f"--samples {args.samples} --dimension {args.dimension}", size)
        rng = np.random.default_rng(args.seed)
        inputs = rng.normal(size=(args.samples, args.dimension))
        direction = rng.normal(size=args.dimension)
        targets = np.tanh(2 * inputs @ direction / np.linalg.norm(direction))
        return {"inputs": inputs, "targets": targets}
    try:
        data = arrays_of(args.data, ("inputs", "targets", "batches", "test_inputs"))
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise options.UsageError(f"cannot read `{args.data}` as an .npz file: {reason}") from error
    for name in ("inputs", "targets"):
        if name not in data:
            raise options.UsageError(f"`{args.data}` has no array `{name}`")
        if data[name].dtype.kind not in "fiub":
            raise options.UsageError(f"`{name}` in `{args.data}` must be numbers")
    return data
