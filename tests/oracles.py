"""Plain NumPy solutions that the tests trust: no JAX, no code shared with the package."""

from dataclasses import dataclass

import numpy as np


@dataclass
class DeepLinearKernels:
    """Kernels of a trained deep linear network; lists are indexed by layer.

    Ch, Rh: layers 0 ... depth; Cg, Rg: layers 1 ... depth (entry 0 is None), each (n, n) with
    n = num_steps * num_classes and index (time, class), time first. Losses: (num_steps,).
    """

    Ch: list
    Rh: list
    Cg: list
    Rg: list
    test_loss: np.ndarray
    train_loss: np.ndarray
    rates: np.ndarray  # c_s of theory 3.1, one for each step
    nu: float
    sigma: float

    def layer(self, index: int) -> dict:
        """Arrays of one weight matrix, named like the arguments of `TrainedWeights`."""
        steps = len(self.rates)
        made = np.tril(np.ones((steps + 1, steps)), -1)  # row t: the steps before t
        return {
            "Ce": self.Ch[index],
            "Cf": self.Cg[index + 1],
            "Re": self.Rh[index],
            "Rf": self.Rg[index + 1],
            "coordinates": np.hstack([np.ones((steps + 1, 1)), made * self.rates]),
            "aspect": self.nu if index == 0 else 1.0,
            "sigma": self.sigma,
        }


def output_scale(nu, gamma0, parameterization) -> float:
    """Output multiplier gamma of the two classical parameterizations."""
    return gamma0 * np.sqrt(nu) if parameterization == "mup" else gamma0


def deep_linear_kernels(
    depth,
    num_steps,
    *,
    alpha,
    nu,
    eta,
    gamma0,
    sigma=1.0,
    parameterization="mup",
    data="full_batch",
    num_classes=1,
    teacher_gram=None,
    label_noise=0.0,
) -> DeepLinearKernels:
    """Theory 3.2-3.4, filled in row by row: each row of a kernel needs earlier rows only.

    eta may be a number or one value for each step. With F = (I - AB)^{-1} and AB strictly causal,
    row t of F is e_t + (AB)[t, :t] F[:t]; the other inverses follow in the same way.
    """
    steps, width = num_steps, num_classes
    n = steps * width
    gamma = output_scale(nu, gamma0, parameterization)
    scale, k = gamma * np.sqrt(nu), np.sqrt(nu) / gamma
    rates = np.broadcast_to(np.asarray(eta, float), (steps,)) * gamma / np.sqrt(nu)
    rate = np.repeat(rates, width)  # (n,) rate of each source column
    eye = np.eye(n)
    same_class = np.kron(np.ones((steps, steps)), np.eye(width))  # (1 1^T) x identity
    gram = np.eye(width) if teacher_gram is None else np.asarray(teacher_gram, float)
    teacher = np.kron(np.ones((steps, steps)), gram)
    online = data == "online"

    def zeros(count):
        return [np.zeros((n, n)) for _ in range(count)]

    A, F, Ch, Rh, driven_h = (zeros(depth + 1) for _ in range(5))
    B, G, Cg, Rg, driven_g = (zeros(depth + 2) for _ in range(5))
    Cg[depth + 1] = same_class  # the readout w0: constant in time, no response
    M, Rdelta, Cdelta, driven_delta = zeros(4)  # beta* - beta
    RDelta, CDelta, Cr0, shift = zeros(4)  # residuals on samples; noise of h^0
    for t in range(steps):
        now, past, upto = _slices(t, width)

        def put(C, row, now=now, upto=upto):
            C[now, upto] = row
            C[upto, now] = row.T

        def past_rate(C, now=now, past=past):
            return C[now, past] * rate[past]

        for l in range(depth, 0, -1):  # g = r + B h
            B[l][now, past] = sigma**2 * Rg[l + 1][now, past] + past_rate(Cg[l + 1])
            feedback = B[l][now, past] @ A[l][past, past]
            G[l][now, upto] = eye[now, upto]
            G[l][now, past] += feedback @ G[l][past, past]
            BS = B[l][now, past] @ (sigma**2 * Ch[l - 1][past, past])
            row = sigma**2 * Cg[l + 1][now, upto]
            row[:, : past.stop] += BS @ B[l][past, past].T
            row[:, past.stop :] += BS @ B[l][now, past].T
            put(driven_g[l], row)
            put(Cg[l], G[l][now, upto] @ driven_g[l][upto, upto] @ G[l][upto, upto].T)
            Rg[l][now, past] = G[l][now, upto] @ B[l][upto, past]

        B[0][now, past] = sigma**2 * Rg[1][now, past] + past_rate(Cg[1])
        M[now, upto] = eye[now, upto]
        M[now, past] -= k * B[0][now, past] @ RDelta[past, past] @ M[past, past]
        Rdelta[now, past] = -k * M[now, upto] @ B[0][upto, past]
        BC = k**2 * B[0][now, past] @ Cr0[past, past]
        row = teacher[now, upto] + (sigma / gamma) ** 2 * Cg[1][now, upto]
        put(driven_delta, row + BC @ B[0][upto, past].T)
        put(Cdelta, M[now, upto] @ driven_delta[upto, upto] @ M[upto, upto].T)

        RDelta[now, upto] = eye[now, upto]
        noisy = Cdelta + label_noise * same_class
        if online:
            put(CDelta, noisy[now, upto])
            Cr0[now, now] = noisy[now, now] / alpha
        else:
            RDelta[now, past] += Rdelta[now, past] @ RDelta[past, past] / alpha
            put(CDelta, RDelta[now, upto] @ noisy[upto, upto] @ RDelta[upto, upto].T)
            put(Cr0, CDelta[now, upto] / alpha)

        # h^0 = (1 + R_Delta R_delta) r_0 + R_Delta M (beta* - r_xi / scale)
        shift[now, upto] = eye[now, upto] + RDelta[now, upto] @ Rdelta[upto, upto]
        Rh[0][now, upto] = -RDelta[now, upto] @ M[upto, upto] / scale
        outer = teacher[upto, upto] + (sigma / gamma) ** 2 * Cg[1][upto, upto]
        row = shift[now, upto] @ Cr0[upto, upto] @ shift[upto, upto].T
        put(Ch[0], row + scale**2 * Rh[0][now, upto] @ outer @ Rh[0][upto, upto].T)

        for l in range(1, depth + 1):  # h = u + A g
            A[l][now, upto] = sigma**2 * Rh[l - 1][now, upto]
            A[l][now, past] += past_rate(Ch[l - 1])
            F[l][now, upto] = eye[now, upto]
            F[l][now, past] += A[l][now, upto] @ B[l][upto, past] @ F[l][past, past]
            noise = sigma**2 * Cg[l + 1][upto, upto]
            row = sigma**2 * Ch[l - 1][now, upto]
            put(driven_h[l], row + A[l][now, upto] @ noise @ A[l][upto, upto].T)
            put(Ch[l], F[l][now, upto] @ driven_h[l][upto, upto] @ F[l][upto, upto].T)
            Rh[l][now, upto] = F[l][now, upto] @ A[l][upto, upto]

    def losses(C):
        return np.diag(C).reshape(steps, width).mean(axis=1)

    return DeepLinearKernels(
        Ch, Rh, [None, *Cg[1:-1]], [None, *Rg[1:-1]], losses(Cdelta), losses(CDelta), rates, nu, sigma
    )


def _slices(t, width):
    return slice(t * width, (t + 1) * width), slice(0, t * width), slice(0, (t + 1) * width)
