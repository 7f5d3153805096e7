"""`spectrax solve` in words."""

import numpy as np


def text(report, paths) -> str:
    """A few lines for the terminal."""
    lines = [report.message, *_losses(report)]
    if report.warning is not None:
        lines.append(report.warning)
    lines += ["", *_table(report), ""]
    if report.comparison is not None:
        lines += ["networks against theory, in standard errors:", str(report.comparison)]
        lines += [_caution(report.ensemble.num_seeds), ""]
    lines.append("written: " + ", ".join(paths))
    return "\n".join(lines)


def _caution(num: int) -> str:
    """What deviations in units of estimated errors are worth."""
    return (
        f"The standard errors come from {num} networks and are known to {(2 * num - 2) ** -0.5:.0%}"
        " themselves; the points of a row share these networks and deviate together."
    )


def _losses(report):
    for name, values in report.losses().items():
        if not values.size:
            continue
        line = f"{name} loss {values[0]:.4g} at step 0, {values[-1]:.4g} at step {values.size - 1}"
        if report.ensemble is not None:
            line += f" (networks {_mean(getattr(report.ensemble, f'{name}_loss'), -1)})"
        yield line


def _table(report):
    header = ["layer", "bulk edge", "escape step", "outliers at the end"]
    ensemble = report.ensemble
    if ensemble is not None:
        header.append(f"largest of {ensemble.num_seeds} networks of size {ensemble.size}")
    rows = [header]
    for index, layer in enumerate(report.layers):
        outliers = layer.location[-1][layer.escaped[-1]]
        escape = f"{layer.escape_step:.2f}" if np.isfinite(layer.escape_step) else "never"
        found = " ".join(f"{x:.5g}" for x in outliers) or "none"
        row = [report.names[index], f"{layer.edge[-1]:.4f}", escape, found]
        if ensemble is not None:
            row.append(_mean(ensemble.top_eigenvalues, (index, -1, 0)))
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _mean(statistic, index) -> str:
    mean, stderr = np.asarray(statistic.mean)[index], np.asarray(statistic.stderr)[index]
    return f"{mean:.4g} ± {stderr:.1g}"
