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

    eta may be a number or one value for each step; parameterization is "mup" or "ntk"; data is
    "full_batch" or "online".
    """
    gamma = gamma0 * np.sqrt(nu) if parameterization == "mup" else gamma0
    c = np.broadcast_to(np.asarray(eta, float), (num_steps,)) * gamma / np.sqrt(nu)
    gram = np.eye(num_classes) if teacher_gram is None else np.asarray(teacher_gram, float)
    rows = _Rows(depth, num_steps, alpha, nu, c, gamma, sigma, data == "online", gram, label_noise)
    for t in range(num_steps):
        rows.fill(t)

    def losses(C):
        return np.diag(C).reshape(num_steps, num_classes).mean(axis=1)

    return DeepLinearKernels(
        Ch=rows.Ch,
        Rh=rows.Rh,
        Cg=[None, *rows.Cg[1:-1]],
        Rg=[None, *rows.Rg[1:-1]],
        test_loss=losses(rows.Cdelta),
        train_loss=losses(rows.CDelta),
        rates=c,
        nu=nu,
        sigma=sigma,
    )


class _Rows:
    """Kernels while they are filled; `delta` is beta* - beta, `Delta` the residual on a sample.

    With F = (I - AB)^{-1} and AB strictly causal, row t of F is e_t + (AB)[t, :t] F[:t]; the other
    inverses follow in the same way.
    """

    def __init__(self, depth, steps, alpha, nu, c, gamma, sigma, online, gram, label_noise):
        self.depth, self.alpha, self.nu, self.gamma = depth, alpha, nu, gamma
        self.sigma, self.online, self.classes = sigma, online, len(gram)
        n = steps * self.classes
        self.rate = np.repeat(c, self.classes)  # (n,) rate of each source column
        self.eye = np.eye(n)
        ones = np.ones((steps, steps))
        self.same_class = np.kron(ones, np.eye(self.classes))
        self.noise = label_noise * self.same_class
        self.teacher = np.kron(ones, gram)

        def zeros(count):
            return [np.zeros((n, n)) for _ in range(count)]

        self.A, self.F, self.Ch, self.Rh, self.driven_h = (zeros(depth + 1) for _ in range(5))
        self.B, self.G, self.Cg, self.Rg, self.driven_g = (zeros(depth + 2) for _ in range(5))
        self.Cg[depth + 1] = self.same_class  # the readout: constant in time, no response
        self.M, self.Rdelta, self.Cdelta, self.driven_delta = zeros(4)
        self.RDelta, self.CDelta, self.Cr0, self.shift = zeros(4)

    def fill(self, t):
        """Row t of every kernel, in the order of one step of the training."""
        self.now = slice(t * self.classes, (t + 1) * self.classes)
        self.past, self.upto = slice(0, self.now.start), slice(0, self.now.stop)
        for layer in range(self.depth, 0, -1):
            self._backward(layer)
        self._error()
        self._residual()
        self._input()
        for layer in range(1, self.depth + 1):
            self._forward(layer)

    def _put(self, C, row):
        C[self.now, self.upto] = row
        C[self.upto, self.now] = row.T

    def _trained(self, C):
        """Response through the weights trained on earlier steps."""
        return C[self.now, self.past] * self.rate[self.past]

    def _backward(self, l):
        """Row of g = r + B h."""
        now, past, upto, s2 = self.now, self.past, self.upto, self.sigma**2
        A, B, G = self.A[l], self.B[l], self.G[l]
        B[now, past] = s2 * self.Rg[l + 1][now, past] + self._trained(self.Cg[l + 1])
        G[now, upto] = self.eye[now, upto]
        G[now, past] += B[now, past] @ A[past, past] @ G[past, past]
        driven = B[now, past] @ (s2 * self.Ch[l - 1][past, past]) @ B[upto, past].T
        self._put(self.driven_g[l], s2 * self.Cg[l + 1][now, upto] + driven)
        self._put(self.Cg[l], G[now, upto] @ self.driven_g[l][upto, upto] @ G[upto, upto].T)
        self.Rg[l][now, past] = G[now, upto] @ B[upto, past]

    def _error(self):
        """Row of delta = M (beta* - r_xi / scale - k B r_0)."""
        now, past, upto = self.now, self.past, self.upto
        k, B, M = np.sqrt(self.nu) / self.gamma, self.B[0], self.M
        B[now, past] = self.sigma**2 * self.Rg[1][now, past] + self._trained(self.Cg[1])
        M[now, upto] = self.eye[now, upto]
        M[now, past] -= k * B[now, past] @ self.RDelta[past, past] @ M[past, past]
        self.Rdelta[now, past] = -k * M[now, upto] @ B[upto, past]
        driven = k**2 * B[now, past] @ self.Cr0[past, past] @ B[upto, past].T
        self._put(self.driven_delta, self._target(now) + driven)
        self._put(self.Cdelta, M[now, upto] @ self.driven_delta[upto, upto] @ M[upto, upto].T)

    def _target(self, rows):
        """Covariance of beta* - r_xi / scale."""
        columns = self.upto
        own_output = (self.sigma / self.gamma) ** 2 * self.Cg[1][rows, columns]
        return self.teacher[rows, columns] + own_output

    def _residual(self):
        """Row of Delta, and of the noise r_0 that the samples send to h^0."""
        now, past, upto = self.now, self.past, self.upto
        R = self.RDelta
        R[now, upto] = self.eye[now, upto]
        noisy = self.Cdelta + self.noise
        if self.online:  # fresh samples: no response, noise independent in time
            self._put(self.CDelta, noisy[now, upto])
            self.Cr0[now, now] = noisy[now, now] / self.alpha
            return
        R[now, past] += self.Rdelta[now, past] @ R[past, past] / self.alpha
        self._put(self.CDelta, R[now, upto] @ noisy[upto, upto] @ R[upto, upto].T)
        self._put(self.Cr0, self.CDelta[now, upto] / self.alpha)

    def _input(self):
        """Row of h^0 = (1 + R_Delta R_delta) r_0 + R_Delta M (beta* - r_xi / scale)."""
        now, upto = self.now, self.upto
        scale, R = self.gamma * np.sqrt(self.nu), self.RDelta
        self.shift[now, upto] = self.eye[now, upto] + R[now, upto] @ self.Rdelta[upto, upto]
        self.Rh[0][now, upto] = -R[now, upto] @ self.M[upto, upto] / scale
        row = self.shift[now, upto] @ self.Cr0[upto, upto] @ self.shift[upto, upto].T
        row += scale**2 * self.Rh[0][now, upto] @ self._target(upto) @ self.Rh[0][upto, upto].T
        self._put(self.Ch[0], row)

    def _forward(self, l):
        """Row of h = u + A g."""
        now, past, upto, s2 = self.now, self.past, self.upto, self.sigma**2
        A, B, F = self.A[l], self.B[l], self.F[l]
        A[now, upto] = s2 * self.Rh[l - 1][now, upto]
        A[now, past] += self._trained(self.Ch[l - 1])
        F[now, upto] = self.eye[now, upto]
        F[now, past] += A[now, upto] @ B[upto, past] @ F[past, past]
        driven = A[now, upto] @ (s2 * self.Cg[l + 1][upto, upto]) @ A[upto, upto].T
        self._put(self.driven_h[l], s2 * self.Ch[l - 1][now, upto] + driven)
        self._put(self.Ch[l], F[now, upto] @ self.driven_h[l][upto, upto] @ F[upto, upto].T)
        self.Rh[l][now, upto] = F[now, upto] @ A[upto, upto]


def wide_network_by_derivatives(X, y, depth, num_steps, *, eta, gamma0, sigma, phi, dphi, ddphi, z):
    """Full batch, one output, plain Monte Carlo; responses as averages of derivatives.

    Every neuron carries its derivatives in all noises. z: a generator of standard normals. Returns
    predictions (T, P), the last layer's kernel of activations (K, K), K = T P.
    """
    P, D = X.shape
    K, c = num_steps * P, eta * gamma0 / P
    Kx = X @ X.T / D
    S = z.S
    e, g = (np.zeros((depth, K, S)) for _ in range(2))
    # derivatives of e and g of layer l in the noise u of h^l and r of z^l: [l, field, noise, site]
    eu, er, gu, gr = (np.zeros((depth, K, K, S)) for _ in range(4))
    error, f = np.zeros(K), np.zeros((num_steps, P))
    noise = [(z.normal(K), z.normal(K if layer < depth - 1 else 1)) for layer in range(depth)]
    first = sigma * np.linalg.cholesky(Kx + 1e-12 * np.eye(P)) @ noise[0][0][:P]

    def correlated(fields, now, xi):
        """Noise of this step, from the Cholesky factor of all correlations so far."""
        C = fields[: now.stop] @ fields[: now.stop].T / S
        L = np.linalg.cholesky(C + 1e-10 * np.trace(C) / len(C) * np.eye(len(C)))
        return sigma * L[now] @ xi[: now.stop]

    for t in range(num_steps):
        now, old = slice(t * P, (t + 1) * P), slice(0, t * P)
        slopes = []
        for layer in range(depth):
            if layer == 0:
                weight = c * np.tile(Kx, (1, num_steps))[:, old] * error[old]
                h = first + weight @ g[0, old]
            else:
                C = e[layer - 1, now] @ e[layer - 1, old].T / S
                weight = sigma**2 * er[layer - 1, now, old].mean(-1) + c * C * error[old]
                h = correlated(e[layer - 1], now, noise[layer][0]) + weight @ g[layer, old]
            hu = np.einsum("ab,bns->ans", weight, gu[layer, old])
            hr = np.einsum("ab,bns->ans", weight, gr[layer, old])
            if layer:  # the first layer's noise is the same at all times and never responded to
                hu[np.arange(P), t * P + np.arange(P)] += 1
            e[layer, now] = phi(h)
            eu[layer, now], er[layer, now] = dphi(h)[:, None] * hu, dphi(h)[:, None] * hr
            slopes.append((h, hu, hr))
        for layer in reversed(range(depth)):
            h, hu, hr = slopes[layer]
            if layer == depth - 1:
                weight = np.tile(c * error[old], (P, 1))
                back = sigma * noise[layer][1][0] + weight @ e[layer, old]
                bu = np.einsum("ab,bns->ans", weight, eu[layer, old])
                br = np.einsum("ab,bns->ans", weight, er[layer, old])
                f[t] = (back * e[layer, now]).mean(-1) / gamma0
                error[now] = y - f[t]
            else:
                C = g[layer + 1, now] @ g[layer + 1, : now.stop].T / S
                weight = sigma**2 * gu[layer + 1, now, : now.stop].mean(-1)
                weight[:, old] += c * C[:, old] * error[old]
                back = correlated(g[layer + 1], now, noise[layer][1])
                back = back + weight @ e[layer, : now.stop]
                bu = np.einsum("ab,bns->ans", weight, eu[layer, : now.stop])
                br = np.einsum("ab,bns->ans", weight, er[layer, : now.stop])
                br[np.arange(P), t * P + np.arange(P)] += 1
            g[layer, now] = dphi(h) * back
            slope, curvature = dphi(h)[:, None], (ddphi(h) * back)[:, None]
            gu[layer, now] = slope * bu + curvature * hu
            gr[layer, now] = slope * br + curvature * hr
    return f, e[-1] @ e[-1].T / S


class Normals:
    """Independent standard normals for S sites."""

    def __init__(self, S, seed):
        self.S, self.rng = S, np.random.default_rng(seed)

    def normal(self, rows):
        return self.rng.normal(size=(rows, self.S))
