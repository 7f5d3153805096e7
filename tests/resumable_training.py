"""A training that can be killed: `python resumable_training.py FOLDER [STEP]`."""

import functools
import os
import signal
import sys
import time

import jax
import numpy as np
import optax

NUM_STEPS = 40


class Stream:
    """Random samples as a function of the step; at one of them the process is killed."""

    def __init__(self, kill_at=None, pause=0.0):
        self.kill_at, self.pause = kill_at, pause

    def batch(self, step, size):
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause)
        rng = np.random.default_rng([7, step])
        x = rng.normal(size=(size, 5)).astype(np.float32)
        return x, np.sin(x[:, :2])

    def evaluation(self, size):
        return self.batch(10**6, size)


@functools.cache  # what is equal is compiled once
def adam(rate):
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, 5, NUM_STEPS)
    return optax.adamw(schedule, weight_decay=0.1)


def run(folder, *, kill_at=None, pause=0.0, save_every=3, rate=3e-3, seed=0, **options):
    """Adam with a schedule, and accumulation."""
    from models.loss import squared_error
    from models.mlp import MLP
    from models.training import log_spaced, train

    network = MLP(
        2, 32, inputs=5, outputs=2, multiplier=1.0, activation="gelu", key=jax.random.key(seed)
    )
    options = {"num_steps": NUM_STEPS, "batch_size": 12, "accumulate": 3} | options
    options = {"snapshots": log_spaced(1, NUM_STEPS, 5), "evaluate_every": 7} | options
    record = train(
        network,
        adam(rate),
        Stream(kill_at, pause),
        squared_error,
        folder=folder,
        save_every=save_every,
        **options,
    )
    return network, record


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)  # as in the tests
    folder, *rest = sys.argv[1:]
    run(folder, kill_at=int(rest[0])) if rest else run(folder, pause=0.02, save_every=1)
