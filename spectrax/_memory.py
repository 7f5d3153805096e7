"""How much memory is free, where JAX computes and on the host."""

import jax


def available_memory() -> int | None:
    """Free bytes of the default device; None if it cannot be told."""
    device = jax.devices()[0]
    stats = None if device.platform == "cpu" else device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return host_memory()


def host_memory() -> int | None:
    """Free bytes of the host; None if it cannot be told."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as lines:
            found = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    except OSError:
        return None
    return 1024 * int(found[0]) if found else None
