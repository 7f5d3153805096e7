"""Windows of a sequence of tokens whose values are their positions."""

import dataclasses

import numpy as np
import pytest

from models.data.tokens import Tokens, held_out_tokens, token_type


@pytest.fixture
def data() -> Tokens:
    """103 training tokens make 10 windows of ten, 41 held-out ones make 4."""
    return Tokens("positions", np.arange(144, dtype=np.uint16), 144, 10, 41)


def test_targets_are_the_next_tokens(data):
    for inputs, targets in (data.batch(0, 10), data.batch(3, 7), data.evaluation(4)):
        assert inputs.shape == targets.shape and inputs.shape[1] == 10
        assert inputs.dtype == targets.dtype == np.int32
        np.testing.assert_array_equal(targets, inputs + 1)
        np.testing.assert_array_equal(np.diff(inputs), 1)


def test_an_epoch_shows_every_window_once(data):
    inputs = np.concatenate([data.batch(step, 5)[0] for step in (0, 1)])
    np.testing.assert_array_equal(np.sort(inputs.ravel()), np.arange(100))


def test_the_end_is_held_out(data):
    for part in data.batch(0, 10):
        assert part.max() < 103 == data.split
    inputs, targets = data.evaluation(4)
    assert inputs.min() == 103 and targets.max() == 143


@pytest.mark.parametrize("split", [100, 101, 110])
def test_no_training_target_is_held_out(split):
    data = Tokens("positions", np.arange(144, dtype=np.uint16), 144, 10, 144 - split)
    targets = data.batch(0, 40)[1]
    assert targets.max() < split <= targets.max() + 10


def test_a_batch_depends_on_seed_step_and_size_alone(data):
    forward = [data.batch(step, 3)[0] for step in range(12)]
    for step in (11, 2, 7):
        np.testing.assert_array_equal(dataclasses.replace(data).batch(step, 3)[0], forward[step])
    other = dataclasses.replace(data, seed=1)
    assert not np.array_equal(other.batch(0, 10)[0], data.batch(0, 10)[0])
    np.testing.assert_array_equal(other.evaluation(4)[0], data.evaluation(4)[0])


def test_large_tokens_survive():
    high = Tokens("high", np.full(30, 2**16, np.uint32), 2**16 + 1, 4, 10)
    assert np.all(high.batch(0, 2)[0] == 2**16)


@pytest.mark.parametrize("held_out", [10, 134])
def test_a_part_without_a_window_is_refused(held_out):
    with pytest.raises(ValueError, match="Argument `length` must be below the 10 tokens of"):
        Tokens("positions", np.arange(144), 144, 10, held_out)
    Tokens("positions", np.arange(144), 144, 9, held_out).batch(0, 1)


@pytest.mark.parametrize(("name", "value"), [("vocabulary", 1), ("length", 0), ("seed", -1)])
def test_arguments_out_of_range_are_named(data, name, value):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be .* got {value}"):
        dataclasses.replace(data, **{name: value})


def test_evaluation_of_more_than_there_is_is_refused(data):
    """The last window needs a token that follows it."""
    with pytest.raises(ValueError, match="Argument `size` must be .* from 1 to 3, got 4"):
        dataclasses.replace(data, held_out=40).evaluation(4)
    assert dataclasses.replace(data, held_out=40).evaluation(3)[1].max() <= 143
    with pytest.raises(ValueError, match="Argument `size` must be .* from 1 to 4, got 5"):
        data.evaluation(5)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_held_out_is_a_fraction(fraction):
    assert held_out_tokens(0.1, 1000) == 100
    with pytest.raises(ValueError, match="Argument `held_out` must be between 0 and 1, got"):
        held_out_tokens(fraction, 1000)


@pytest.mark.parametrize("vocabulary", [257, 2**16, 2**16 + 1])
def test_the_type_holds_every_token(vocabulary):
    assert np.iinfo(token_type(vocabulary)).max >= vocabulary - 1
