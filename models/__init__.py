"""Networks to compare with: Flax models, their scaling with width, data and one training loop.

Used from a checkout, not installed; needs the extra `models`.
"""
