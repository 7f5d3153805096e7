"""Level 1: models of training, each a short program, and their solution."""
