"""How often something is compiled: counted, not timed."""

import contextlib

import jax

EVENT = "/jax/core/compile/backend_compile_duration"


class Count:
    """Compilations so far."""

    number = 0


_total = Count()


def _listen(event: str, duration: float, **details) -> None:
    if event == EVENT:
        _total.number += 1


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextlib.contextmanager
def compilations():
    """Counts the compilations of its block: `.number`, when it is left."""
    count, before = Count(), _total.number
    yield count
    count.number = _total.number - before
