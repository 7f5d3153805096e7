"""The calculus: a training algorithm is written once, as a program; interpreters give it meaning."""
