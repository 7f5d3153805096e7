"""Compiler flags for tests that compile far more than they compute."""

import jax

# Plain machine code saves half of the time. A flag that XLA does not know ends the process, so
# versions that were not tried get one only.
FLAGS = ["--xla_backend_optimization_level=0"]
if jax.__version_info__ < (0, 12):
    FLAGS += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]


def with_flags(flags: str | None) -> str:
    """What is set already, and these."""
    return " ".join([flags or "", *FLAGS])
