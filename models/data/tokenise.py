"""A program: tokenises what it is sent. A tokenizer's file may hold what ends the process.

Run by `models.data.encoding`. First come the limits and the tokenizer, then texts in batches; every
message is a length of eight bytes and so many bytes. Nothing of this package is imported.
"""

import array
import json
import sys


def main() -> None:
    """Answer until nothing more is sent."""
    from tokenizers import Tokenizer

    tokenizer = end = None
    settings = json.loads(_received())
    content = _received()
    _limit(settings["memory"], settings["seconds"])

    def load() -> bytes:
        nonlocal tokenizer, end
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        for chance in ("dropout", "alpha", "nbest_size"):  # one text has one encoding
            if getattr(tokenizer.model, chance, None) is not None:
                setattr(tokenizer.model, chance, None)
        end = tokenizer.token_to_id(settings["end"])
        return json.dumps([max(tokenizer.get_vocab().values()) + 1, end]).encode()

    def encode() -> bytes:
        texts = json.loads(request)
        _limit(
            settings["memory"] + 500 * len(request), settings["seconds"] + len(request) // 50_000
        )
        found = [x.ids for x in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        answer = array.array("I", [len(ids) + 1 for ids in found])
        for ids in found:
            answer.extend([*ids, end])
        return answer.tobytes()

    _answer(load)
    while request := _received():
        _answer(encode)


def _limit(memory: int, seconds: int) -> None:
    """Bytes and processor time from now on; the system ends the process beyond them."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + 1 + seconds
    for kind, soft in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, until)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (soft if hard < 0 else min(soft, hard), hard))


def _received() -> bytes:
    head = sys.stdin.buffer.read(8)
    return sys.stdin.buffer.read(int.from_bytes(head, "little")) if len(head) == 8 else b""


def _answer(work) -> None:
    """What came out, or why nothing did, also by a panic of compiled code."""
    try:
        mark, content = b"+", work()
    except BaseException as error:
        mark, content = b"-", (" ".join(str(error).split()) or type(error).__name__).encode()
    sys.stdout.buffer.write((1 + len(content)).to_bytes(8, "little") + mark + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
