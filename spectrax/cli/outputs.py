"""`spectrax solve outputs`: the bulk of a weight after a step or two with many outputs."""

import functools

from spectrax.cli import common
from spectrax.cli.common import DEEPEST, integer, number, option, scale

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


class OutputsOptions:
    """A linear network with many outputs."""

    nu = option(2.0, scale, "width over input dimension")
    omega = option(1.0, scale, "outputs over input dimension")
    kappa0 = option(1.0, number, "learning rate times output multiplier")
    sigma = option(1.0, scale, "standard deviation of the initial weights")
    parameterization = option("mup", common.exponents, "mup, ntk, or exponents A,B of nu")
    gamma0 = option(None, number, "output multiplier where the own output is part of the error")
    samples = option(None, scale, "samples over input dimension; infinitely many if not given")
    steps = option(1, int, "training steps", choices=(1, 2))
    depth = option(1, integer(1, DEEPEST), "hidden layers")
    layer = option(0, integer(0), "which weight, 0 to depth - 1")


class MatricesOptions:
    """Points of the law, and finite matrices."""

    points = option(200, integer(8), "points in each interval of the bulk")
    simulate = option(None, integer(2), "sample, input dimension SIZE", metavar="SIZE")
    seeds = option(8, integer(2), "number of matrices")
    seed = option(0, integer(0), "of the matrices")


def add_parser(commands) -> None:
    """Declare the command."""
    parser = common.add_command(
        commands,
        "outputs",
        "as many outputs as width: the bulk itself moves",
        "Solve the law of a weight after one or two steps with many outputs.",
        EPILOG,
    )
    common.add_options(parser.add_argument_group("network and training"), OutputsOptions)
    group = parser.add_argument_group("theory and finite matrices to compare with")
    common.add_options(group, MatricesOptions)
    common.add_options(parser.add_argument_group("output"), common.OutputOptions)
    parser.set_defaults(run=run)


def run(args) -> int:
    """Solve, sample, draw, write, print."""
    common.start(args)
    from spectrax.cli import outputs_report

    parameters = common.values_of(OutputsOptions, args)
    _check_combination(parameters)
    outputs_report.law_of(parameters)  # refuses what makes no sense before anything is rounded
    if args.simulate is not None:
        size = 8 * args.simulate**2 * max(args.nu, args.omega, 1.0) * max(args.nu, 1.0)
        common.require_memory(f"--simulate {args.simulate} --nu {args.nu:g}", size)
    common.require_memory(f"--points {args.points}", 800 * args.points)
    request = {"parameters": parameters, "points": args.points, "simulate": args.simulate}
    request |= {"num_seeds": args.seeds, "seed": args.seed}
    find = functools.partial(outputs_report.find, parameters, args)
    length = outputs_report.number_of_stages(args)
    return common.carry_out(args, "solve_outputs", length, find, **request)


def _check_combination(parameters: dict) -> None:
    """Options that exclude each other, in the words of the command line."""
    if parameters["layer"] >= parameters["depth"]:
        raise common.UsageError(
            f"--layer must be below --depth {parameters['depth']}, got {parameters['layer']}"
        )
    if parameters["steps"] == 2 and (
        parameters["gamma0"] is None or parameters["samples"] is not None
    ):
        raise common.UsageError("--steps 2 needs --gamma0 and has no --samples")
    if parameters["kappa0"] == 0 == parameters["sigma"]:
        raise common.UsageError("--kappa0 and --sigma must not both be 0")
    given = [name for name in ("gamma0", "samples") if parameters[name] is not None]
    given += ["steps 2"] if parameters["steps"] == 2 else []
    if parameters["depth"] > 1 and given:
        raise common.UsageError(f"--{given[0]} is for --depth 1, got {parameters['depth']}")
