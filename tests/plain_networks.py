"""Layers of trained networks in plain NumPy, written from their formulas."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import softmax


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def conv(x, kernel, stride=1):
    """Images (…, height, width, in), kernel (size, size, in, out), zeros around the image."""
    pad = len(kernel) // 2
    windows = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = sliding_window_view(windows, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def group_norm(x, gain, bias, groups):
    split = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean = split.mean((1, 3), keepdims=True)
    spread = np.sqrt(((split - mean) ** 2).mean((1, 3), keepdims=True) + 1e-6)
    return ((split - mean) / spread).reshape(x.shape) * gain + bias


def rms_norm(x, gain):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gain


def attention(q, k, v, scale):
    """Of one head, (positions, features): every position sees itself and those before."""
    logits = scale * q @ k.T
    hidden = np.triu(np.ones(logits.shape, bool), 1)
    return softmax(np.where(hidden, -np.inf, logits), axis=-1) @ v


def turned(x, base):
    """Rotary positions of (positions, features): the two halves as complex numbers."""
    n = x.shape[-1] // 2
    phase = np.exp(1j * np.arange(len(x))[:, None] * base ** (-np.arange(n) / n))
    z = (x[:, :n] + 1j * x[:, n:]) * phase
    return np.concatenate([z.real, z.imag], -1)
