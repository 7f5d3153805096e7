"""`spectrax solve outputs`: the bulk of a weight after a step or two with many outputs."""

import argparse

from spectrax.cli import options

EPILOG = """\
examples:
  spectrax solve outputs
  spectrax solve outputs --kappa0 0.5 --gamma0 2 --simulate 300
  spectrax solve outputs --depth 3 --layer 1 --nu 1.5 --json

The network is linear with D inputs, N = nu D hidden neurons, C = omega D outputs and white inputs;
its law is that of W^T W / nu in the first layer and of W^T W in hidden ones. --depth 1 has two
layers of weights, the first of which is looked at. --gamma0 makes the network's own output a part
of the error, --steps 2 needs it. Two steps take minutes.
Writes solve_outputs.png and .pdf (density with its edges), solve_outputs.npz (the numbers behind
it), solve_outputs.json (parameters, seed, versions, results).
"""

MODEL_OPTIONS = ("nu", "omega", "kappa0", "sigma", "parameterization", "gamma0", "samples")
MODEL_OPTIONS += ("steps", "depth", "layer")


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "outputs",
        help="as many outputs as width: the bulk itself moves",
        description="Solve the law of a weight after one or two steps with many outputs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("network and training")

    number, scale = options.number, options.scale

    def add(name, kind, default, text):
        shown = "" if default is None else " (%(default)s)"
        group.add_argument(name, type=kind, default=default, help=text + shown)

    add("--nu", scale, 2.0, "width over input dimension")
    add("--omega", scale, 1.0, "outputs over input dimension")
    add("--kappa0", number, 1.0, "learning rate times output multiplier")
    add("--sigma", scale, 1.0, "standard deviation of the initial weights")
    add("--parameterization", options.exponents, "mup", "mup, ntk, or exponents A,B of nu")
    add("--gamma0", number, None, "output multiplier where the own output is part of the error")
    add("--samples", scale, None, "samples over input dimension; infinitely many if not given")
    group.add_argument(
        "--steps", type=int, choices=(1, 2), default=1, help="training steps (%(default)s)"
    )
    add("--depth", options.integer(1, options.DEEPEST), 1, "hidden layers")
    add("--layer", options.integer(0), 0, "which weight, 0 to depth - 1")
    group = parser.add_argument_group("theory and finite matrices to compare with")
    add("--points", options.integer(8), 200, "points in each interval of the bulk")
    group.add_argument(
        "--simulate", type=options.integer(2), metavar="SIZE", help="sample, input dimension SIZE"
    )
    add("--seeds", options.integer(2), 8, "number of matrices")
    add("--seed", options.integer(0), 0, "of the matrices")
    options.add_output_options(parser, "spectrax-results")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Solve, sample, draw, write, print."""
    from spectrax.cli import session

    session.start(args)
    from spectrax import records
    from spectrax.cli import outputs_figure, outputs_report

    parameters = {name: getattr(args, name) for name in MODEL_OPTIONS}
    _check_combination(parameters)
    outputs_report.law_of(parameters)  # refuses what makes no sense before anything is rounded
    if args.simulate is not None:
        size = 8 * args.simulate**2 * max(args.nu, args.omega, 1.0) * max(args.nu, 1.0)
        options.require_memory(f"--simulate {args.simulate} --nu {args.nu:g}", size)
    options.require_memory(f"--points {args.points}", 800 * args.points)
    folder = records.make_folder(args.out)
    with session.progress(args, total=outputs_report.number_of_stages(args)) as bar:
        result = outputs_report.make(parameters, args, bar)
        record = {
            "command": "solve outputs",
            "parameters": parameters,
            "points": args.points,
            "simulate": args.simulate,
            "num_seeds": args.seeds,
            "seed": args.seed,
            **result.summary(),
        }
        bar.set_description_str("drawing")
        figure = outputs_figure.draw(result)
        paths = records.write(folder, "solve_outputs", figure, result.arrays(), record)
        bar.update()
    if args.json:
        session.print_json({**record, "versions": records.versions(), "files": paths})
    elif not args.quiet:
        print(outputs_report.text(result, paths))
    return 0 if result.resolved else 1


def _check_combination(parameters: dict) -> None:
    """Options that exclude each other, in the words of the command line."""
    if parameters["layer"] >= parameters["depth"]:
        raise options.UsageError(
            f"--layer must be below --depth {parameters['depth']}, got {parameters['layer']}"
        )
    if parameters["steps"] == 2 and (
        parameters["gamma0"] is None or parameters["samples"] is not None
    ):
        raise options.UsageError("--steps 2 needs --gamma0 and has no --samples")
    if parameters["kappa0"] == 0 == parameters["sigma"]:
        raise options.UsageError("--kappa0 and --sigma must not both be 0")
    given = [name for name in ("gamma0", "samples") if parameters[name] is not None]
    given += ["steps 2"] if parameters["steps"] == 2 else []
    if parameters["depth"] > 1 and given:
        raise options.UsageError(f"--{given[0]} is for --depth 1, got {parameters['depth']}")
