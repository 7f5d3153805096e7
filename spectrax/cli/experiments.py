"""`spectrax figure`: run an experiment of a checkout again."""

import pathlib
import runpy
import sys

from spectrax.cli import common

EPILOG = """\
examples:
  spectrax figure                      list the experiments
  spectrax figure outlier_escape       run experiments/outlier_escape.py
  spectrax figure NAME -- --option 1   what follows -- goes to the script

Experiments are scripts of the repository, not of the installed package: run this inside a checkout.
"""


def add_parser(commands) -> None:
    """Declare the command."""
    parser = common.add_command(
        commands,
        "figure",
        "run an experiment script (needs a checkout)",
        "Run one of the scripts in experiments/ again; without a name, list them.",
        EPILOG,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the script, without .py")
    parser.add_argument("rest", nargs="*", metavar="ARG", help="arguments of the script, after --")
    parser.add_argument("--json", action="store_true", help="list the experiments as JSON")
    parser.add_argument("--no-cache", action="store_true", help="do not keep compiled code")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Run the script as if it were called by Python itself, with this command's settings of JAX."""
    folder = find_experiments()
    if folder is None:
        raise common.UsageError(
            "There is no experiments folder here; run this inside a checkout of spectrax"
        )
    names = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    if args.name is None:
        _list(names, args.json)
        return 0
    if args.name not in names:
        known = ", ".join(names) if names else "none yet"
        raise common.UsageError(f"There is no experiment called {args.name!r}; there are: {known}")
    return _run_script(folder / f"{args.name}.py", args)


def find_experiments() -> pathlib.Path | None:
    """The experiments folder of the checkout around the working directory or this file, if any."""
    here = pathlib.Path.cwd()
    for root in (here, *here.parents, pathlib.Path(__file__).resolve().parents[2]):
        if (root / "experiments").is_dir() and (root / "spectrax" / "seam.py").is_file():
            return root / "experiments"
    return None


def _list(names, as_json: bool) -> None:
    if as_json:
        common.print_json({"experiments": names})
    else:
        print("\n".join(names) if names else "There are no experiments yet.")


def _run_script(path: pathlib.Path, args) -> int:
    common.start(args)
    before = sys.argv, sys.path[:]
    sys.argv = [str(path), *args.rest]
    sys.path[:0] = [str(path.parent), str(path.parent.parent)]  # its helpers, and models/
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.path[:] = before
    return 0
