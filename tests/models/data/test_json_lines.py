"""Shards of JSON lines: tokens, cache, and everything that can be wrong with a line."""

import gzip
import json
import os
import sys
import types

import numpy as np
import pytest
import tokenizers

from models.data import jsonl
from models.data.json_lines import _Steady, texts
from models.data.tokenise import _limit

END = "<|endoftext|>"
WORDS = ["unknown", *"abcdefghij", END]
TEXTS = ["a b c", "d", "", f"e {END} f", "g h i j"] * 8
LINES = [json.dumps({"text": text, "url": "u"}) for text in TEXTS]


@pytest.fixture
def tokenizer(tmp_path):
    """Words to their places in `WORDS`; it cuts, fills and frames texts, which is to be ignored."""
    found = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS[:-1])}, "unknown")
    )
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    found.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, 11)]
    )
    found.add_special_tokens([END])
    found.enable_truncation(2)
    found.enable_padding(length=9)
    found.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def shards(tmp_path):
    """The same lines in two files, one of them compressed, and with an empty line at the end."""
    (tmp_path / "text").mkdir()
    with gzip.open(tmp_path / "text" / "a.json.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(LINES[:15]) + "\n")
    (tmp_path / "text" / "b.jsonl").write_text("\n".join(LINES[15:]) + "\n\n", "utf-8")
    return sorted((tmp_path / "text").iterdir())


@pytest.fixture
def load(tmp_path, tokenizer, shards):
    def load(files=shards, tokenizer=tokenizer, **options):
        options = {"length": 3, "cache": tmp_path / "cache", "held_out": 0.2} | options
        return jsonl(files, tokenizer, **options)

    return load


def expected(texts, end=END):
    """Tokens of the words; the end token inside a text is an unknown word."""
    table = {word: i for i, word in enumerate(WORDS)} | {END: 0}
    found = [[table[word] for word in text.split()] + [WORDS.index(end)] for text in texts]
    return np.concatenate(found)


def test_documents_are_tokenised_in_order_with_an_end_after_each(load):
    data = load()
    np.testing.assert_array_equal(data.tokens, expected(TEXTS))
    assert data.tokens.dtype == np.uint16 and isinstance(data.tokens, np.memmap)
    assert data.vocabulary == len(WORDS) and data.length == 3 and data.name == "text"
    assert data.held_out == round(0.2 * len(data.tokens))


def test_targets_are_the_next_tokens_of_the_file(load):
    data = load()
    tokens = expected(TEXTS)
    windows = {tuple(tokens[i : i + 4]) for i in range(len(tokens))}
    for inputs, targets in (data.batch(2, 5), data.evaluation(4)):
        assert inputs.shape == targets.shape == (len(inputs), 3)
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        assert {(*x, y[-1]) for x, y in zip(inputs, targets, strict=True)} <= windows


def test_folder_list_and_single_file(load, shards):
    np.testing.assert_array_equal(load(shards[0].parent).tokens, load().tokens)
    np.testing.assert_array_equal(load(shards[0]).tokens, expected(TEXTS[:15]))
    np.testing.assert_array_equal(load(str(shards[1])).tokens, expected(TEXTS[15:]))
    both = load(shards[::-1]).tokens
    np.testing.assert_array_equal(both, expected(TEXTS[15:] + TEXTS[:15]))


def test_end_is_the_users(load):
    np.testing.assert_array_equal(load(end="j").tokens, expected(TEXTS, "j"))
    with pytest.raises(ValueError, match="Argument `end` must be a token of .*, got 'none'"):
        load(end="none")


def test_cache_is_used_again(load, tmp_path, monkeypatch):
    first = np.array(load().tokens)
    (path,) = (tmp_path / "cache").iterdir()
    before = path.stat().st_mtime_ns
    monkeypatch.setattr("models.data.json_lines.texts", None)  # reading again would fail
    data = load(length=5, seed=1, held_out=0.3)
    np.testing.assert_array_equal(data.tokens, first)
    assert path.stat().st_mtime_ns == before and data.length == 5


def change_text(shards, tokenizer):
    """Of the same length and time."""
    stat = shards[1].stat()
    shards[1].write_text(shards[1].read_text("utf-8").replace("a b c", "a b cc"), "utf-8")
    os.utime(shards[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))


def change_letter(shards, tokenizer):
    """Of the same size, later."""
    stat = shards[1].stat()
    shards[1].write_text(shards[1].read_text("utf-8").replace("a b c", "a b d"), "utf-8")
    os.utime(shards[1], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def change_tokenizer(shards, tokenizer):
    text = tokenizer.read_text("utf-8")
    tokenizer.write_text(text.replace('"a": 1', '"k": 1'), "utf-8")


@pytest.mark.parametrize("change", [change_text, change_letter, change_tokenizer])
def test_cache_is_renewed_when_the_input_changes(load, shards, tokenizer, tmp_path, change):
    before = np.array(load().tokens)
    change(shards, tokenizer)
    after = load().tokens
    assert not np.array_equal(after, before) and len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(("vocabulary", "kind"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_tokens_take_two_bytes_or_four(load, tmp_path, vocabulary, kind):
    table = {END: 0, "unknown": 1, "a": vocabulary - 1}  # with gaps
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(table, "unknown"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    found.save(str(tmp_path / "large.json"))
    data = load(tokenizer=tmp_path / "large.json")
    assert data.vocabulary == vocabulary and data.tokens.dtype == kind
    assert data.tokens.max() == vocabulary - 1


# --- what can be missing or wrong


def sentence(load, **options) -> str:
    with pytest.raises(ValueError) as error:
        load(**options)
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400
    return text


BAD_LINES = {
    "text": "is not JSON",
    '{"text": "a"': "is not JSON",
    "[" * 100_000: "is not JSON",
    "[]": 'has no field "text"',
    '{"content": "a"}': 'has no field "text"',
    '{"text": null}': 'has no field "text" that holds a text',
    r'{"text": "\ud800"}': "has half of a surrogate pair",
}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_line_is_named(load, tmp_path, line, suffix):
    path = tmp_path / f"bad{suffix}"
    content = "\n".join([LINES[0], "", line, LINES[1]]).encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    text = sentence(load, files=path)
    assert text.startswith(f"Line 3 of {str(path)!r} {BAD_LINES[line]}")
    assert list((tmp_path / "cache").iterdir()) == []


def test_text_that_is_not_utf8_is_named(load, tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff\xfe"}\n')
    assert "Line 2 of" in sentence(load, files=tmp_path / "bad.jsonl")


GZIP = gzip.compress("\n".join(LINES * 9).encode(), mtime=0)
DAMAGED = {
    "cut short": GZIP[:-20],
    "checksum": GZIP[:-8] + bytes([GZIP[-8] ^ 1]) + GZIP[-7:],
    "content": GZIP[:30] + bytes(b ^ 255 for b in GZIP[30:50]) + GZIP[50:],
    "not compressed": "\n".join(LINES).encode(),
    "header alone": GZIP[:5],
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_compression_is_named(load, tmp_path, damage):
    (tmp_path / "bad.json.gz").write_bytes(DAMAGED[damage])
    text = sentence(load, files=tmp_path / "bad.json.gz")
    assert text.startswith("Cannot read ") and "bad.json.gz" in text
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0"', b"\xff\xfe\x00", b"[1]"])
def test_broken_tokenizer_is_named(load, tmp_path, content):
    (tmp_path / "broken.json").write_bytes(content)
    assert "broken.json" in sentence(load, tokenizer=tmp_path / "broken.json")


def test_word_that_the_tokenizer_cannot_encode_is_one_sentence(load, tmp_path):
    """The library says so by an exception of its own."""
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel({END: 0, "a": 1}, "missing"))
    found.save(str(tmp_path / "narrow.json"))
    assert sentence(load, tokenizer=tmp_path / "narrow.json").startswith("Cannot read")


def test_files_without_text_are_refused(load, tmp_path):
    for content in ("", "\n\n"):
        (tmp_path / "none.jsonl").write_text(content)
        assert "There is no text in" in sentence(load, files=[tmp_path / "none.jsonl"])
    assert "at least one file" in sentence(load, files=[])
    assert list((tmp_path / "cache").iterdir()) == []


def test_too_little_text_is_one_sentence(load):
    assert "Argument `length` must be below the" in sentence(load, length=1000)


@pytest.mark.parametrize(("name", "value"), [("length", 0), ("held_out", 1.5)])
def test_arguments_are_checked_before_the_work(load, tmp_path, name, value):
    assert f"Argument `{name}`" in sentence(load, **{name: value})
    assert not (tmp_path / "cache").exists()


def test_missing_files_say_what_where_and_how_to_obtain_them(load, tmp_path):
    (tmp_path / "empty").mkdir()
    for options, parts in (
        ({"files": tmp_path / "c4.json.gz"}, ("c4.json.gz", "huggingface.co/datasets/allenai/c4")),
        ({"files": tmp_path / "empty"}, ("empty", "huggingface.co/datasets/allenai/c4")),
        ({"tokenizer": tmp_path / "t.json"}, ("t.json", "huggingface.co/openai-community/gpt2")),
    ):
        with pytest.raises(FileNotFoundError) as error:
            load(**options)
        assert all(part in str(error.value) for part in (*parts, str(tmp_path)))


def test_without_the_library_the_extra_is_named(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"spectrax-dmft\[models\]"):
        load()


def test_progress_is_shown_on_request(load, capsys):
    load()
    assert capsys.readouterr() == ("", "")
    load(end="a", progress=True)
    assert "tokenising" in capsys.readouterr().err


# --- what can hurt


def pairs_of_letters(**options):
    """Byte pairs over four letters, which can be merged or, with dropout, not."""
    table = {word: i for i, word in enumerate([*"abcd", "ab", "cd", "abcd", END])}
    merges = [("a", "b"), ("c", "d"), ("ab", "cd")]
    return tokenizers.Tokenizer(tokenizers.models.BPE(table, merges, **options))


def test_dropout_of_a_tokenizer_is_left_out(load, tmp_path):
    """Two caches of one text are the same: that of the tokenizer without it."""
    (tmp_path / "letters.jsonl").write_text("\n".join([json.dumps({"text": "abcd" * 9})] * 9))
    pairs_of_letters(dropout=0.5).save(str(tmp_path / "random.json"))
    files, expected = tmp_path / "letters.jsonl", ([6] * 9 + [7]) * 9
    for cache in ("one", "two"):
        data = load(files, tmp_path / "random.json", cache=tmp_path / cache)
        np.testing.assert_array_equal(data.tokens, expected)


def test_tokens_beyond_the_vocabulary_are_refused(load, tmp_path):
    load()
    (path,) = (tmp_path / "cache").iterdir()
    tokens = np.load(path)
    for largest in (len(WORDS) - 1, len(WORDS), 60_000):
        tokens[-3] = largest
        np.save(path, tokens)
        if largest < len(WORDS):
            np.testing.assert_array_equal(load().tokens, tokens)
        else:
            assert f"has the token {largest} of a vocabulary of {len(WORDS)}" in sentence(load)


def split_by(expression):
    """A tokenizer of words between what an expression matches."""
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel({END: 0, "a": 1}, END))
    found.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(expression), "removed")
    return found


def test_an_expression_that_takes_for_ever_is_one_sentence(load, tmp_path):
    (tmp_path / "letters.jsonl").write_text(json.dumps({"text": "a" * 60 + "b"}))
    split_by("(a+)+$").save(str(tmp_path / "slow.json"))
    text = sentence(load, files=tmp_path / "letters.jsonl", tokenizer=tmp_path / "slow.json")
    assert "slow.json" in text and list((tmp_path / "cache").iterdir()) == []


ENDINGS = {
    "import os; os.abort()": "it ends the process that tokenises",
    "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)": "it takes too long",
    "import sys; sys.stdout.buffer.write(bytes([5] + [0] * 7) + b'-text')": "text",
}
# What the library says is cut after a line.
for size in (160, 161):
    said = f"[{size + 1}] + [0] * 7) + b'-' + {size} * b'x'"
    ENDINGS[f"import sys; sys.stdout.buffer.write(bytes({said})"] = "x" * (
        160 if size == 160 else 157
    )


@pytest.mark.parametrize("program", ENDINGS, ids=range(len(ENDINGS)))
def test_a_tokenizer_that_ends_its_process_is_one_sentence(load, tmp_path, monkeypatch, program):
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr("models.data.encoding.PROGRAM", tmp_path / "program.py")
    text = sentence(load)
    assert text == f"Cannot read {str(tmp_path / 'tokenizer.json')!r}: {ENDINGS[program]}."


def test_many_documents_in_one_call_or_in_several_are_the_same(load, monkeypatch):
    for limits in ((1024, 500_000), (7, 500_000), (1024, 4), (1, 1)):
        for name, value in zip(("TOGETHER", "CHARACTERS"), limits, strict=True):
            monkeypatch.setattr(f"models.data.json_lines.{name}", value)
        np.testing.assert_array_equal(load(end="a").tokens, expected(TEXTS, "a"))


def test_lines_and_files_are_bounded(load, tmp_path, monkeypatch):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": "a" * 88}))  # a line of a hundred bytes
    monkeypatch.setattr("models.data.json_lines.LONGEST", 100)
    assert list(texts(path)) == ["a" * 88] and path.stat().st_size == 100
    monkeypatch.setattr("models.data.json_lines.LONGEST", 99)
    assert sentence(load, files=path).endswith("it has a line of more than 99 bytes.")


def test_what_inflates_as_no_text_does_is_refused(load, tmp_path, monkeypatch):
    content = (json.dumps({"text": "a"}) + "\n").encode() * 3000
    for name, data, spare in (("zip", gzip.compress(content), 0), ("plain", content, 0)):
        path = tmp_path / f"{name}.jsonl{'.gz' if name == 'zip' else ''}"
        path.write_bytes(data)
        monkeypatch.setattr("models.data.json_lines.SPARE", spare)
        if name == "zip":
            assert "inflates to more than 30 times" in sentence(load, files=path)
        else:
            assert len(load(path).tokens) == 6000


def test_zeros_behind_compressed_text_are_not_gone_through(load, tmp_path):
    path = tmp_path / "padded.jsonl.gz"
    for zeros in (512, 1_000_000):  # as tape archives pad, and a hole
        path.write_bytes(gzip.compress("\n".join(LINES).encode()) + bytes(zeros))
        if zeros == 512:
            np.testing.assert_array_equal(load(path).tokens, expected(TEXTS))
        else:
            assert "too many pieces, or of zeros" in sentence(load, files=path)


def test_a_file_that_counts_its_pieces_reads_as_any_file(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(200)) * 200)
    file = _Steady(tmp_path / "a")
    assert file.read(3) == b"\0\1\2"
    assert file.read() == (bytes(range(200)) * 200)[3:]
    for _ in range(10_000 + 40 - 1):
        file.read(15)
    file.read(16)
    with pytest.raises(ValueError, match="too many pieces"):
        file.read(0)


@pytest.mark.parametrize("hard", [-1, 0, 7, 10**15])
def test_limits_of_the_process_that_tokenises_stay_below_those_of_the_system(monkeypatch, hard):
    """-1 is none."""
    used = types.SimpleNamespace(ru_utime=1.4, ru_stime=2.3)
    found = {}
    system = types.SimpleNamespace(
        RLIMIT_DATA="data",
        RLIMIT_CPU="time",
        RUSAGE_SELF=0,
        getrusage=lambda who: used,
        getrlimit=lambda kind: (-1, hard),
        setrlimit=found.__setitem__,
    )
    monkeypatch.setitem(sys.modules, "resource", system)
    _limit(10**9, 60)
    for kind, wanted in (("data", 10**9), ("time", 3 + 1 + 60)):
        assert found[kind] == (wanted if hard == -1 else min(wanted, hard), hard)


def test_empty_lines_are_not_most_of_a_file(load, tmp_path, monkeypatch):
    monkeypatch.setattr("models.data.json_lines.EMPTY", 10)
    (tmp_path / "a.jsonl").write_text("\n\n".join(LINES) + "\n" * 3)
    np.testing.assert_array_equal(load(tmp_path / "a.jsonl").tokens, expected(TEXTS))
    (tmp_path / "b.jsonl").write_text("\n" * 99 + LINES[0])
    assert "most of its lines are empty" in sentence(load, files=tmp_path / "b.jsonl")


def test_texts_that_take_more_than_is_free_are_refused(load, monkeypatch):
    monkeypatch.setattr("models.data.encoding.host_memory", lambda: 10_000)
    assert "bytes of text at a time take more memory than is free" in sentence(load)
