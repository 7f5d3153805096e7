"""One sentence for every error of a library; what is no error of a file passes."""

import pathlib

import pytest

from models.data.files import missing, reading

PATH = pathlib.Path("folder/file.bin")


class Panic(BaseException):
    """As compiled code raises it."""


@pytest.mark.parametrize("error", [OSError("bad\n  news."), Panic("bad news")])
def test_errors_become_one_sentence_that_names_the_file(error):
    with pytest.raises(ValueError) as found, reading(PATH):
        raise error
    assert str(found.value) == "Cannot read 'folder/file.bin': bad news."
    assert found.value.__cause__ is error


def test_an_error_without_words_gives_its_name_and_a_long_one_is_cut():
    with pytest.raises(ValueError, match="'folder/file.bin': EOFError.$"), reading(PATH):
        raise EOFError
    with pytest.raises(ValueError) as found, reading(PATH):
        raise OSError("long " * 1000)
    assert len(str(found.value)) < 250


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, FileNotFoundError])
def test_interrupts_pass(error):
    with pytest.raises(error), reading(PATH):
        raise error


def test_missing_says_what_where_and_how():
    text = str(missing("file 'a'", PATH.parent, "write it"))
    assert text == "There is no file 'a' in 'folder': write it."
