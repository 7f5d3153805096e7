"""Options: numbers that are accepted, defaults that are the library's, texts of help."""

import argparse
import inspect
import re

import pytest

import spectrax
from spectrax.cli import common, outputs, solve
from spectrax.cli.main import build_parser


@pytest.mark.parametrize(
    ("read", "low", "high"),
    [(common.number, 1e-300, 1e300), (common.scale, common.SMALL, common.LARGE)],
)
def test_numbers_are_accepted_from_the_smallest_to_the_largest(read, low, high):
    for value in (0.0, low, high, -low, -high):
        assert read(repr(value)) == value
    for value in (0.999 * low, 1.001 * high, float("nan"), float("inf")):
        with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"{low:g} to {high:g}")):
            read(repr(value))


@pytest.mark.parametrize(
    ("command", "options", "model"),
    [
        (["solve"], solve.DeepLinearOptions, spectrax.DeepLinear),
        (["solve", "wide"], solve.WideOptions, spectrax.WideNetwork),
        (["solve", "outputs"], outputs.OutputsOptions, spectrax.one_step_outputs),
    ],
)
def test_what_the_library_has_a_default_for_has_the_same_one_here(command, options, model):
    names = common.options_of(options)
    given, compared = build_parser().parse_args(command), 0
    for name, parameter in inspect.signature(model).parameters.items():
        if name in names and parameter.default is not inspect.Parameter.empty:
            expected = "mup" if parameter.default is spectrax.mup else parameter.default
            assert getattr(given, name) == expected, name
            compared += 1
    assert compared >= 4


def test_every_option_has_a_help_text_and_a_default_where_the_text_names_one():
    seen, parsers = 0, [build_parser()]
    while parsers:
        for action in parsers.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
                assert all(choice.help for choice in action._choices_actions)
            else:
                assert action.help, action
                named = "%(default)s" in action.help
                assert not named or action.default is not None, action
                seen += 1
    assert seen > 60


def test_two_steps_need_a_rich_output_and_all_samples():
    given = dict(depth=1, layer=0, kappa0=1.0, sigma=1.0, steps=2, gamma0=1.5, samples=None)
    outputs._check_combination(given)
    for wrong in ({"gamma0": None}, {"samples": 3.0}):
        with pytest.raises(common.UsageError, match="--steps 2 needs --gamma0"):
            outputs._check_combination(given | wrong)
