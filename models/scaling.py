r"""How initial values, forward multipliers and learning rates scale with width and depth.

Stored weights are the effective ones: kernels of all hidden layers have standard deviation
σ/√fan_in at every width, and that is what spectra are measured of. With m = width/base width and
d = depth/base depth, maximal update parameterization (µP) multiplies by

| role of a parameter | initial std | forward | SGD rate | Adam rate | Adam ε |
|---|---|---|---|---|---|
| input: kernel of the first layer, embedding | 1 | 1 | m γ₀² | γ₀ | 1/(m γ₀) |
| vector: bias, gain of a norm | 1 | 1 | m γ₀² | γ₀ | 1/(m γ₀) |
| hidden: kernel whose two sides grow | 1 | 1 | γ₀² | γ₀/m | 1/(m γ₀) |
| output: kernel of the readout | √m | 1/(m γ₀) | m γ₀² | γ₀ | 1/(m γ₀) |
| any of these in a residual branch | – | branch × 1/d | × d | × 1 | × 1/d |
| weight decay | | | 1/rate | 1/rate | |

- Initial standard deviations are relative to σ/√fan_in; √m makes that of the readout the same at
  every width, its effective entries, with the forward multiplier, being of order 1/m.
- Width: every hidden activation then moves by an amount of order one in every step, whatever m.
- Depth (CompleteP with exponent α = 1): branches count 1/d, and so do the gradients inside. Adam
  does not see the size of a gradient, so that only its ε changes; SGD makes up for it.
- Mean field: f = readout/γ₀. A step moves the outputs by an amount that does not depend on γ₀ (to
  first order), and the features by one that is proportional to it: large γ₀ is rich, small γ₀ is
  lazy. Where features move more, the largest stable rate is smaller. SGD needs the rate × γ₀² for
  this; a step of Adam does not see the factor 1/γ₀ of the gradient, which leaves γ₀ for it. The
  initial output is not subtracted: it is of order 1/(γ₀ √m).
- Weight decay is decoupled for Adam and added to the gradient for SGD; both shrink a weight by
  rate · decay in each step, and that product is kept, for it acts on weights of a fixed size.

Standard parameterization is the same with m = d = 1 whatever the sizes; γ₀ keeps its meaning.
"""

import dataclasses

from spectrax import check

ROLES = ("input", "vector", "hidden", "output")
OPTIMIZERS = ("sgd", "adam")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Multipliers of one network; the table is in the docstring of the module.

    Args:
        width: width over base width.
        depth: depth over base depth.
        gamma0: richness γ₀; large is rich.
        parameterization: "mup" or "standard".

    Raises:
        ValueError: if a number is not positive, or the parameterization is unknown.

    Examples:
        >>> from models.scaling import Scaling
        >>> Scaling(width=8.0).rate("hidden", "adam")
        0.125
    """

    width: float = 1.0
    depth: float = 1.0
    gamma0: float = 1.0
    parameterization: str = "mup"

    def __post_init__(self):
        for name in ("width", "depth", "gamma0"):
            check.positive(name, getattr(self, name))
        check.one_of("parameterization", self.parameterization, ("mup", "standard"))

    @property
    def _width(self) -> float:
        return self.width if self.parameterization == "mup" else 1.0

    @property
    def _depth(self) -> float:
        return self.depth if self.parameterization == "mup" else 1.0

    @property
    def branch(self) -> float:
        """Multiplier of what a residual branch adds."""
        return 1.0 / self._depth

    def initial(self, role: str) -> float:
        """Factor of the initial standard deviation."""
        check.one_of("role", role, ROLES)
        return self._width**0.5 if role == "output" else 1.0

    def forward(self, role: str) -> float:
        """Factor of what the layer computes."""
        check.one_of("role", role, ROLES)
        return 1.0 / (self._width * self.gamma0) if role == "output" else 1.0

    def rate(self, role: str, optimizer: str, *, branch: bool = False) -> float:
        """Factor of the learning rate; branch: the parameter lies in a residual branch."""
        check.one_of("role", role, ROLES)
        if check.one_of("optimizer", optimizer, OPTIMIZERS) == "adam":
            return self.gamma0 / (self._width if role == "hidden" else 1.0)
        depth = self._depth if branch else 1.0
        return self.gamma0**2 * depth * (1.0 if role == "hidden" else self._width)

    def decay(self, role: str, optimizer: str, *, branch: bool = False) -> float:
        """Factor of the weight decay."""
        return 1.0 / self.rate(role, optimizer, branch=branch)

    def epsilon(self, *, branch: bool = False) -> float:
        """Factor of Adam's ε, which follows the size of the gradients."""
        return 1.0 / (self._width * self.gamma0 * (self._depth if branch else 1.0))
