"""Training data as pure functions of (seed, step, size): images with labels, tokens in order.

Everything here is NumPy on the host. Nothing downloads; the libraries that decode are imported by
the loader that needs them.
"""

from models.data.cifar import cifar10
from models.data.documentation import python_documentation
from models.data.folder import ImageFolder, image_folder
from models.data.handwritten import digits
from models.data.images import Images
from models.data.json_lines import jsonl
from models.data.synthetic import synthetic_images, synthetic_tokens
from models.data.tokens import Tokens

__all__ = [
    "ImageFolder",
    "Images",
    "Tokens",
    "cifar10",
    "digits",
    "image_folder",
    "jsonl",
    "python_documentation",
    "synthetic_images",
    "synthetic_tokens",
]
