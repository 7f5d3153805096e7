"""The calculus: a training algorithm as a program, and what interpreters make of it."""

from spectrax.program.field import Field as Field
from spectrax.program.objects import Constant as Constant
from spectrax.program.objects import Matrix as Matrix
from spectrax.program.objects import Space as Space
from spectrax.program.objects import Stencil as Stencil
from spectrax.program.objects import Vector as Vector
from spectrax.program.objects import weight as weight
