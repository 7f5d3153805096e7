"""The parser, and the one place where errors become sentences and exit codes."""

import argparse
import contextlib
import difflib
import functools
import re
import sys
from collections.abc import Sequence

import spectrax
from spectrax.cli import experiments, solve, spectrum, streams, transfer
from spectrax.cli.common import UsageError

MEMORY = "There is not enough memory for this request; choose smaller sizes"
COMMANDS = (transfer, solve, spectrum, experiments)

DESCRIPTION = """\
Dynamical mean-field theory of training and the spectra of trained weights.
"""

EPILOG = """\
examples:
  spectrax transfer
  spectrax solve --gamma0 6 --simulate 300
  spectrax spectrum checkpoints/step_*.safetensors
  spectrax solve --help

exit codes: 0 success; 1 incomplete: the training diverged, a law was not resolved, or a file could
not be read (everything else is written); 2 wrong usage, or the results cannot be written
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args=None, namespace=None):
        """Remember what was given, for the sentences."""
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        """Raise the sentence; the command line ends with exit code 2."""
        # The value after an option that does not exist is taken for a command.
        choice = re.search(r"invalid choice: '(.*?)'", message)
        if choice and choice[1] in self._given:
            known = re.findall(r"--[\w-]+", self.format_usage())
            for word in self._given[: self._given.index(choice[1])]:
                option = word.partition("=")[0]
                if option.startswith("--") and not any(x.startswith(option) for x in known):
                    message = self._no_option(option, known)
        raise UsageError(message)

    def _print_message(self, message, file=None):
        """Print, and let errors be seen: argparse hides them."""
        if message and file is not None:
            file.write(message)

    def _no_option(self, option: str, known: list[str]) -> str:
        near = difflib.get_close_matches(option, known, 1, 0.75)
        hint = f", did you mean {near[0]}?" if near else f"; see `{self.prog} --help`"
        return f"There is no option {option}{hint}"


@functools.cache
def build_parser() -> Parser:
    """The parser with all commands."""
    parser = Parser(
        prog="spectrax",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments; those of the process if not given.

    Returns:
        The exit code: 0 success, 1 incomplete (diverged training, broken file, …), 2 wrong usage.

    Examples:
        >>> from spectrax.cli import main
        >>> main(["--version"])
        spectrax 0.1.0
        0
    """
    try:
        return streams.run(lambda: _run(argv))
    except UsageError as error:
        return _say(str(error))
    except ValueError as error:
        # The library's own sentences about its arguments; anything else is a bug and is shown.
        if not str(error).startswith("Argument `"):
            raise
        return _say(str(error))
    except MemoryError:
        return _say(MEMORY)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        return _say(MEMORY)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    if args.version:
        print(f"spectrax {spectrax.__version__}")
        return 0
    if not hasattr(args, "run"):
        build_parser().print_help()
        return 0
    return args.run(args)


def _say(sentence: str) -> int:
    sentence = " ".join(sentence.split())
    sentence = sentence[:1].upper() + sentence[1:]
    end = "" if sentence.endswith("?") else "."
    with contextlib.suppress(OSError):  # nobody to tell
        print(f"spectrax: {sentence.rstrip('.')}{end}", file=sys.stderr)
    return 2
