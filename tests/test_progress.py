"""A bar appears after a second, on a terminal, unless a command is to be quiet."""

import io

import pytest

from spectrax import _progress


class Terminal(io.StringIO):
    """What is written to a screen."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time that bars see."""
    from tqdm import tqdm

    now = [100.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    assert tqdm(disable=True) is not None
    return now


def seen(monkeypatch, clock, screen, seconds: float) -> str:
    """What a reader shows that takes so many seconds for three items."""
    monkeypatch.setattr("sys.stderr", screen)
    items = _progress.watched("abc", "headers")
    found = []
    for item in items:
        clock[0] += seconds / 3
        found.append(item)
    assert found == list("abc")
    return "" if screen is None else screen.getvalue()


def test_a_bar_appears_after_a_second_on_a_terminal(monkeypatch, clock):
    assert seen(monkeypatch, clock, Terminal(), 0.9) == ""
    assert "headers" in seen(monkeypatch, clock, Terminal(), 4.0)
    assert seen(monkeypatch, clock, io.StringIO(), 4.0) == ""
    assert seen(monkeypatch, clock, None, 4.0) == ""


def test_quiet_commands_show_none(monkeypatch, clock):
    monkeypatch.setattr(_progress, "shown", False)
    assert seen(monkeypatch, clock, Terminal(), 4.0) == ""
