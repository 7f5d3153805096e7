"""Epochs are permutations, and a step can be asked for alone."""

import numpy as np
import pytest

from models.data.order import held_out_order, training_order


@pytest.mark.parametrize("size", [1, 4, 7, 10, 23, 64])
def test_every_epoch_is_a_permutation_whatever_the_batch(size):
    count, epochs = 10, 13
    steps = -(-epochs * count // size)
    seen = np.concatenate([training_order(3, step, size, count) for step in range(steps)])
    for epoch in seen[: epochs * count].reshape(epochs, count):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))


def test_the_sequence_does_not_depend_on_the_batch():
    small = np.concatenate([training_order(0, step, 3, 50) for step in range(40)])
    large = np.concatenate([training_order(0, step, 40, 50) for step in range(3)])
    np.testing.assert_array_equal(small, large)


def test_random_access_equals_sequential():
    forward = [training_order(5, step, 6, 20) for step in range(30)]
    for step in (29, 3, 17, 3):
        np.testing.assert_array_equal(training_order(5, step, 6, 20), forward[step])


def test_epochs_and_seeds_differ():
    first = training_order(0, 0, 100, 100)
    assert not np.array_equal(first, training_order(0, 1, 100, 100))
    assert not np.array_equal(first, training_order(1, 0, 100, 100))
    assert not np.array_equal(first, np.arange(100))


def test_samples_of_different_seeds_are_independent():
    """Fixed points of 400 permutations: Poisson of mean one, four standard errors."""
    orders = [training_order(seed, 0, 50, 50) for seed in range(400)]
    fixed = [np.sum(a == b) for a, b in zip(orders, orders[1:], strict=False)]
    assert abs(np.mean(fixed) - 1.0) < 4 / np.sqrt(len(fixed))


def test_held_out_choices_are_nested_and_without_repetition():
    chosen = held_out_order(30, 30)
    np.testing.assert_array_equal(np.sort(chosen), np.arange(30))
    np.testing.assert_array_equal(held_out_order(12, 30), chosen[:12])
    assert not np.array_equal(chosen, np.arange(30))  # files come sorted by class


def test_the_caller_cannot_change_the_order():
    training_order(7, 0, 5, 5)[:] = 0
    np.testing.assert_array_equal(np.sort(training_order(7, 0, 5, 5)), np.arange(5))
    with pytest.raises(ValueError, match="read-only"):
        held_out_order(5, 5)[:] = 0


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("step", -1), ("step", 1.5), ("size", 0), ("size", True)]
)
def test_arguments_out_of_range_are_named(name, value):
    arguments = {"seed": 0, "step": 0, "size": 1, name: value}
    with pytest.raises(ValueError, match=f"Argument `{name}` must be an integer .* got {value}"):
        training_order(**arguments, count=10)


@pytest.mark.parametrize("size", [0, 11])
def test_no_more_is_held_out_than_there_is(size):
    with pytest.raises(ValueError, match=f"Argument `size` must be .* from 1 to 10, got {size}"):
        held_out_order(size, 10)
