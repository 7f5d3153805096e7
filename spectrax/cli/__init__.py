"""The command line: parses, calls the library, draws, writes.

Each command is a module with `add_parser(commands)`; its `run(args)` returns the exit code. JAX and
Matplotlib are imported inside `run`, so that `--help` and usage errors are immediate.

Exit codes: 0 success; 1 incomplete: the training diverged, or a file could not be read (everything
else is written); 2 the request makes no sense or its results cannot be written, said in one
sentence; 130 interrupted; 141 the reader of the output has left.
"""

from spectrax.cli.main import main

__all__ = ["main"]
