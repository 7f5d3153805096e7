"""What an entry point may do and a library may not: global settings of JAX, progress bars."""

import os
import pathlib
import sys


def start(args) -> None:
    """Double precision, compiled code kept between runs, figures without a screen."""
    # OpenBLAS threads that wait for each other slow small eigenproblems down, many times on a busy
    # machine; this works only before SciPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    # The bulk edges and the recursion over many steps need double precision.
    jax.config.update("jax_enable_x64", True)
    os.environ.setdefault("MPLBACKEND", "Agg")
    if not (args.no_cache or os.environ.get("SPECTRAX_NO_CACHE")):
        _keep_compiled_code()


def _keep_compiled_code() -> None:
    import jax

    if not jax.config.jax_compilation_cache_dir:  # the user's own choice comes first
        root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = pathlib.Path(root) / "spectrax" / "jax"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # no place to write: compile anew, as without a cache
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def progress(args, total: int):
    """A progress bar on the terminal; silent where nobody watches."""
    from tqdm import tqdm

    hidden = args.quiet or args.json or not sys.stderr.isatty()
    look = "{percentage:3.0f}%|{bar:24}| {elapsed} {desc}"
    return tqdm(total=total, disable=hidden, bar_format=look, ncols=79, leave=False)
