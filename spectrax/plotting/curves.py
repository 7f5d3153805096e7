"""Quantities against training steps: losses, outliers, strengths, swept families of curves."""

import numpy as np

from spectrax.plotting.style import (
    BULK,
    EDGE,
    GUIDE,
    THEORY,
    compress_axis,
    draw_ensemble,
    finite,
    log_axis_if_positive,
    sequence,
    widen,
)


def losses(ax, theory, *, simulation=None, colors=None):
    """Loss curves against the training step, on a logarithmic axis where the data allow it.

    Args:
        ax: axes to draw on.
        theory: name -> losses, shape (T,) each.
        simulation: name -> object with `.mean` and `.stderr`, shape (T,) each.
        colors: one colour for each name; from the ordered palette if not given.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plotting.losses(plt.figure().add_subplot(), {"test": [1.0, 0.3, 0.09]})
        >>> ax.get_yscale()
        'log'
        >>> plt.close(ax.figure)
    """
    simulation = simulation or {}
    colors = colors or sequence(max(len(theory), 2))
    for (name, values), color in zip(theory.items(), colors, strict=False):
        values = finite(values)
        if name in simulation:
            draw_ensemble(
                ax, np.arange(values.size), simulation[name], color=color, label=f"{name}, networks"
            )
            ax.plot(values, **THEORY)
        else:
            ax.plot(values, color=color, linestyle="--", label=name)
    if simulation:
        ax.plot([], **THEORY, label="theory")
    log_axis_if_positive(ax, np.concatenate([np.ravel(v) for v in theory.values()]))
    ax.set_xlabel("training step $t$")
    ax.set_ylabel("mean squared error")
    ax.legend()
    return ax


def outlier_path(
    ax,
    location,
    escaped,
    *,
    edge,
    escape_step=np.inf,
    steps=None,
    color="black",
    label=None,
    simulation=None,
    simulation_steps=None,
):
    r"""Outlier eigenvalues of $W^\top W$ against the training step, over the shaded bulk.

    Args:
        ax: axes to draw on.
        location: outliers at each step, shape (S,) or (S, count).
        escaped: which of them exist, same shape; the others are not drawn.
        edge: upper edge of the bulk, a number or shape (S,).
        escape_step: first crossing, in steps; marked if finite.
        steps: the steps, shape (S,); 0, 1, … if not given.
        color: of the theory, or of the simulation where there is one (the theory is black then).
        label: entry of the legend.
        simulation: object with `.mean` and `.stderr`, shape (s,): the largest eigenvalue.
        simulation_steps: its steps, shape (s,).

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plt.figure().add_subplot()
        >>> ax = plotting.outlier_path(ax, [4.0, 4.0, 4.3], [False, False, True], edge=4.0)
        >>> len(ax.lines[-1].get_xdata())  # the one outlier that exists
        1
        >>> plt.close(ax.figure)
    """
    location, escaped = np.array(location, float), np.asarray(escaped, bool)
    location, escaped = (x.reshape(x.shape[0], -1) for x in (location, escaped))
    steps = np.asarray(np.arange(len(location)) if steps is None else steps, float)
    edge = np.broadcast_to(np.asarray(edge, float), steps.shape)
    ax.fill_between(steps, edge, 0.0, color=BULK, linewidth=0, zorder=0)
    ax.plot(steps, edge, **EDGE)
    look = {**THEORY, "color": color} if simulation is None else THEORY
    if simulation is not None:
        draw_ensemble(ax, simulation_steps, simulation, color=color, label=label, points=True)
        label = None
    for column in range(location.shape[1]):
        x, y = _with_start(steps, location, escaped, edge, escape_step, column)
        ax.plot(x, y, **look, label=label if column == 0 else None)
    if np.isfinite(escape_step):
        at_edge = np.interp(escape_step, steps, edge)
        ax.plot([escape_step], [at_edge], "o", ms=4, mfc="white", mec=color, zorder=4)
    ax.set_xlabel("training step $t$")
    ax.set_ylabel(r"eigenvalue $\lambda$ of $W^\top W$")
    seen = [location[escaped]] + ([] if simulation is None else _error_bar_ends(simulation))
    seen = np.concatenate(seen)
    widen(ax, *_view(seen, edge))
    compress_axis(ax, "y", seen, edge.max())
    ax.margins(x=0.02)
    return ax


def _with_start(steps, location, escaped, edge, escape_step, column):
    """One path, only where it exists; the first one starts on the edge, at the escape."""
    keep = escaped[:, column]
    x, y = steps[keep], location[keep, column]
    if column == 0 and np.isfinite(escape_step) and keep.any() and escape_step <= x[0]:
        x = np.insert(x, 0, escape_step)
        y = np.insert(y, 0, np.interp(escape_step, steps, edge))
    return x, y


def _error_bar_ends(simulation):
    """Lower and upper ends of the error bars."""
    mean, stderr = finite(simulation.mean), np.nan_to_num(finite(simulation.stderr))
    return [mean - stderr, mean + stderr]


def _view(points, edge):
    """Limits that show the points and a little of the bulk below its edge."""
    points = points[np.isfinite(points)]
    top, bottom = max([edge.max(), *points]), min([edge.min(), *points])
    room = max(top - edge.min(), 0.1 * edge.max())
    low = min(edge.min() - 0.35 * room, bottom - 0.05 * room)
    return max(low, 0.0), top + 0.15 * room


def strength_path(ax, strength, critical, *, steps=None, color="black", label=None):
    r"""The leading spike strength over its critical value, Re θ² / (σ²√α_W), against the step.

    Args:
        ax: axes to draw on.
        strength: Re θ² of the leading mode at each step, shape (S,).
        critical: critical strength σ²√α_W, a number or shape (S,).
        steps: the steps, shape (S,); 0, 1, … if not given.
        color: of the curve.
        label: entry of the legend.

    Returns:
        The axes; the threshold is dotted.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plotting.strength_path(plt.figure().add_subplot(), [0.0, 0.5, 1.5], 1.0)
        >>> plt.close(ax.figure)
    """
    ratio = finite(strength) / np.asarray(critical, float)
    steps = np.arange(ratio.size) if steps is None else steps
    ax.plot(steps, ratio, **{**THEORY, "color": color}, label=label)
    ax.axhline(1.0, **GUIDE, color="0.3")
    compress_axis(ax, "y", ratio, 1.0)
    ax.set_xlabel("training step $t$")
    ax.set_ylabel(r"$\theta^2 / (\sigma^2\sqrt{\alpha_W})$")
    ax.margins(x=0.02)
    return ax


def sweep(ax, x, curves, values, *, name, simulation=None, palette="viridis"):
    r"""A family of curves, one for each value of a swept quantity, in an ordered palette.

    Args:
        ax: axes to draw on.
        x: positions, shape (n,).
        curves: theory, shape (v, n); what is not finite is not drawn.
        values: the swept quantity, shape (v,), in order.
        name: its symbol for the legend, for example "$\gamma_0$".
        simulation: sequence of v objects with `.mean` and `.stderr`, shape (n,) each.
        palette: name of a sequential colour map.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plt.figure().add_subplot()
        >>> ax = plotting.sweep(ax, [0, 1], [[1, 2], [1, 3]], [0.5, 1.0], name="$\\nu$")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['$\\nu$ = 0.5', '$\\nu$ = 1']
        >>> plt.close(ax.figure)
    """
    curves = finite(curves)
    for i, color in enumerate(sequence(len(curves), palette)):
        label = f"{name} = {float(values[i]):g}"
        if simulation is None:
            ax.plot(x, curves[i], color=color, linestyle="--", label=label)
        else:
            draw_ensemble(ax, x, simulation[i], color=color, label=label)
            ax.plot(x, curves[i], **THEORY)
    if simulation is not None:
        ax.plot([], **THEORY, label="theory")
    ax.legend()
    return ax
