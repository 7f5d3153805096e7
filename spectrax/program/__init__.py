"""The calculus: an algorithm is written once, as a program; interpreters give it meaning."""
