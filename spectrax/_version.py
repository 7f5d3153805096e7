"""The version of the package: of the code itself, also in a checkout that is not installed."""

__version__ = "0.1.0"
