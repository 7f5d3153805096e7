"""Level 3: how hyperparameters depend on width, and what transfers."""
