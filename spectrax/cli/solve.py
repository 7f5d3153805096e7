"""`spectrax solve`: one deep linear network, its losses and the spectra of its weights."""

import argparse

from spectrax.cli import options, solve_outputs, solve_wide

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

# A training whose layers all eject an outlier within its first quarter, from bulks of two widths.
DEFAULTS = {"depth": 2, "num_steps": 40, "alpha": 4.0, "nu": 2.0, "eta": 0.015, "gamma0": 5.0}


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "solve",
        help="losses, escaping outliers and weight spectra of one deep linear network",
        description="Solve the theory of one deep linear network and the spectra of its weights.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model_options(parser)
    group = parser.add_argument_group("finite networks to compare with")
    group.add_argument(
        "--simulate",
        type=options.integer(2),
        metavar="SIZE",
        help="train networks with input dimension SIZE",
    )
    group.add_argument(
        "--seeds", type=options.integer(2), default=8, help="number of networks (%(default)s)"
    )
    group.add_argument(
        "--seed", type=options.integer(0), default=0, help="random seed (%(default)s)"
    )
    options.add_output_options(parser, "spectrax-results")
    parser.add_argument(
        "--count",
        type=options.integer(1),
        default=3,
        help="outliers to follow in each layer (%(default)s)",
    )
    parser.set_defaults(run=run)
    kinds = parser.add_subparsers(title="other models", metavar="MODEL")
    solve_wide.add_parser(kinds)
    solve_outputs.add_parser(kinds)


def _add_model_options(parser) -> None:
    group = parser.add_argument_group("network and training")

    def add(name, kind, default, text, **kwargs):
        group.add_argument(name, type=kind, default=default, help=f"{text} (%(default)s)", **kwargs)

    add("--depth", options.integer(1, options.DEEPEST), DEFAULTS["depth"], "hidden layers")
    add("--num-steps", options.integer(1, options.LONGEST), DEFAULTS["num_steps"], "training steps")
    add("--alpha", options.scale, DEFAULTS["alpha"], "samples (online: batch) per input dimension")
    add("--nu", options.scale, DEFAULTS["nu"], "hidden width per input dimension")
    add("--eta", options.rates, DEFAULTS["eta"], "learning rate, or one per step: a,b,…")
    add("--gamma0", options.number, DEFAULTS["gamma0"], "output multiplier; large is rich")
    add("--sigma", options.scale, 1.0, "standard deviation of the initial weights")
    add(
        "--parameterization",
        options.exponents,
        "mup",
        "mup, ntk, or exponents A,B of gamma = gamma0 nu^A and of the rate eta nu^B",
    )
    add("--data", str, "full_batch", "full_batch or online")
    add("--num-classes", options.integer(1), 1, "outputs")
    group.add_argument(
        "--teacher-gram",
        type=options.matrix,
        metavar="MATRIX",
        help="inner products of the teachers, in JSON (orthonormal)",
    )
    add("--label-noise", options.number, 0.0, "variance of the label noise")
    add("--momentum", options.number, 0.0, "heavy-ball momentum")
    add("--weight-decay", options.number, 0.0, "weight decay per step")


MODEL_OPTIONS = (
    *("depth", "num_steps", "alpha", "nu", "eta", "gamma0", "sigma", "parameterization", "data"),
    *("num_classes", "teacher_gram", "label_noise", "momentum", "weight_decay"),
)


def run(args) -> int:
    """Solve, simulate, draw, write, print."""
    from spectrax.cli import session

    session.start(args)
    parameters = {name: getattr(args, name) for name in MODEL_OPTIONS}
    options.require_memory(  # each pair of steps has a correlation
        f"--depth {args.depth} --num-steps {args.num_steps} --num-classes {args.num_classes}",
        8 * (args.depth * args.num_steps**2 + args.num_classes**2),
    )
    return report_on(build_model(parameters), args, "solve", parameters)


def report_on(model, args, name: str, parameters: dict, interpreter=None) -> int:
    """Solve a model, simulate, draw, write under a name, print."""
    from spectrax import records
    from spectrax.cli import report, report_figure, report_text, session

    if args.simulate is not None:
        # Theory of the very ratios that are simulated.
        model, sizes = model.rounded(args.simulate)
        largest = sorted(sizes.values())[-2:]
        options.require_memory(f"--simulate {args.simulate}", 8 * largest[0] * largest[-1])
    folder = records.make_folder(args.out)
    with session.progress(args, total=report.number_of_stages(model, args)) as bar:
        result = report.make(model, args, bar, interpreter)
        record = {
            "command": name.replace("_", " "),
            "parameters": parameters,
            "count": args.count,
            "simulate": args.simulate,
            "num_seeds": args.seeds,
            "seed": args.seed,
            **result.summary(),
        }
        bar.set_description_str("drawing")
        paths = records.write(folder, name, report_figure.draw(result), result.arrays(), record)
        bar.update()
    if args.json:
        session.print_json({**record, "versions": records.versions(), "files": paths})
    elif not args.quiet:
        print(report_text.text(result, paths))
    return 1 if result.diverged else 0


def build_model(parameters: dict):
    """The model that the options describe."""
    from spectrax import DeepLinear

    values = {name: parameters[name] for name in MODEL_OPTIONS[2:]}
    values["parameterization"] = options.parameterization_of(values["parameterization"])
    return DeepLinear(parameters["depth"], parameters["num_steps"], **values)
