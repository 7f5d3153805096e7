"""Which part a parameter plays in the scaling: metadata of the parameter itself."""

import dataclasses

import jax
from flax import nnx

from models.scaling import ROLES
from spectrax import check

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Role:
    """Role of one parameter, and whether it lies in a residual branch."""

    name: str
    branch: bool = False

    def __str__(self) -> str:
        return f"{self.name} in branch" if self.branch else self.name


def tag(role: str, *, branch: bool = False) -> dict:
    """Metadata for `nnx.Param`, e.g. `nnx.Linear(..., kernel_metadata=tag("hidden"))`.

    Args:
        role: "input", "vector", "hidden" or "output"; see `models.scaling`.
        branch: the parameter lies in a residual branch.

    Returns:
        The metadata.
    """
    return {"role": Role(check.one_of("role", role, ROLES), branch)}


def roles(model: nnx.Module) -> dict[Path, Role]:
    """Roles of all parameters.

    Args:
        model: network whose parameters carry `tag`.

    Returns:
        Path of each parameter -> its role.

    Raises:
        ValueError: if a parameter has no role.
    """
    found = {}
    for path, param in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        role = param.get_metadata().get("role")
        if role is None:
            raise ValueError(f"Parameter `{'.'.join(map(str, path))}` must have a role, got none.")
        found[path] = role
    return found


def path_of(key_path) -> Path:
    """Path of a parameter from its JAX key path, in a model, its state, or a tree of arrays."""
    names = [
        getattr(key, "key", getattr(key, "name", getattr(key, "idx", None))) for key in key_path
    ]
    return tuple(names[:-1] if names[-1] == "value" else names)


def hidden_kernels(model: nnx.Module) -> dict[str, jax.Array]:
    """Hidden kernels, whose spectra are measured: those that touch neither input nor readout.

    `spectrax.measure_spectrum(kernel, layout="in_out")` measures the *square* unfolding of a
    convolution kernel, (out · height, in · width); `flat` gives the other one.

    Args:
        model: network whose parameters carry `tag`.

    Returns:
        Name, e.g. "blocks.0.conv1.kernel" -> kernel, (in, out) or (height, width, in, out).
    """
    params = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
    return {
        ".".join(map(str, path)): params[path].get_value()
        for path, role in roles(model).items()
        if role.name == "hidden"
    }


def flat(kernel: jax.Array) -> jax.Array:
    """The flat unfolding of a kernel: one row for each output channel.

    Args:
        kernel: (height, width, in, out) or (in, out), as in Flax.

    Returns:
        (out, in · height · width) or (out, in).
    """
    if kernel.ndim == 2:
        return kernel.T
    return kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[3], -1)
