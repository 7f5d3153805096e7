"""Double precision for all tests, as the theory needs, and quick compilation, once."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

# Before NumPy is loaded: one process a core, each with threads of its own, takes twice the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU
# What one worker or a process of a test has compiled the others read: all inherit this.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.mkdtemp(prefix="spectrax-tests-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import pytest
from quick_compilation import with_flags

jax.config.update("jax_enable_x64", True)


def pytest_configure(config):
    """Choose the compiler's effort before the first compilation."""
    os.environ["XLA_FLAGS"] = with_flags(os.environ.get("XLA_FLAGS"))


def pytest_collection_finish(session):
    """Tracing makes millions of short-lived objects: seldom search the old ones for rubbish."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Hundreds of compiled programs exhaust the memory maps that a process may have (65530)."""
    yield
    maps = pathlib.Path("/proc/self/maps")  # Linux only; others have no such limit
    if maps.exists() and maps.read_text().count("\n") > 20_000:
        jax.clear_caches()
