"""Double precision for all tests, as the theory needs, and quick compilation."""

import os
import pathlib

# Before NumPy is loaded: one process a core, each with threads of its own, takes twice the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU

import jax
import pytest

jax.config.update("jax_enable_x64", True)


def pytest_configure(config):
    """Choose the compiler's effort before the first compilation."""
    if config.option.markexpr == "slow":
        return  # they compute more than they compile
    # The others compile far more than they compute: plain machine code saves half of the time.
    # A flag that XLA does not know ends the process, so versions that were not tried get one only.
    flags = ["--xla_backend_optimization_level=0"]
    if jax.__version_info__ < (0, 12):
        flags.append("--xla_cpu_use_fusion_emitters=false")
        flags.append("--xla_cpu_parallel_codegen_split_count=1")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Hundreds of compiled programs exhaust the memory maps that a process may have (65530)."""
    yield
    maps = pathlib.Path("/proc/self/maps")  # Linux only; others have no such limit
    if maps.exists() and maps.read_text().count("\n") > 20_000:
        jax.clear_caches()
