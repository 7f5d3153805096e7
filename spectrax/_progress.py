"""A bar for reading that lasts beyond a second, on a terminal that somebody watches."""

import sys
from collections.abc import Iterable, Iterator

shown = True  # commands told to be quiet switch it off


def watched(items: Iterable, what: str, total: int | None = None) -> Iterator:
    """The items, with a bar on stderr once they have taken a second.

    Args:
        items: what is gone through.
        what: is being done.
        total: number of items, if they do not say.
    """
    from tqdm import tqdm

    hidden = None if shown and sys.stderr is not None else True  # None: unless it is a terminal
    yield from tqdm(items, what, total, disable=hidden, delay=1.0, leave=False, ncols=79)
