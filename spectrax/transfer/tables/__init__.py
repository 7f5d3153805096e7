"""Verdicts on tables of losses: what the best learning rate does as networks widen."""
