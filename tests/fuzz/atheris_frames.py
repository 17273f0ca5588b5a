"""Coverage-guided fuzzing of the server's reading, decoding and dispatch (atheris; not part of `make test`).

    make fuzz                         five minutes, both cores left to others (nice)
    make fuzz FUZZ_SECONDS=3600

The corpus is kept in .fuzz/corpus; an input that fails is written to .fuzz/ and can be given as an argument.
The first byte says where the rest is cut into pieces, as a socket would.
"""

import json
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,unused-ignore]  # in a virtual environment of its own

with atheris.instrument_imports(include=["ardaemon"]):
    from ardaemon.core.config import BATCH_MAX
    from ardaemon.core.methods import METHODS
    from tests.fuzz.harness import FRAME_MAX, Harness

SECTION_7 = (
    '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
    '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
    "[]",
    "[1,2,3]",
    '[{"jsonrpc": "2.0", "method": "queue.list", "id": "1"}, {"foo": "boo"}]',
)
WORDS = [
    *('{"jsonrpc": "2.0", "method": "', '", "params": ', '"id": ', '"protocol": ', '"project": ', '"expr": '),
    *(
        "null",
        "NaN",
        "-Infinity",
        "1e999",
        "-0",
        "9" * 30,
        "0.1e-7",
        "true",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\r\n",
    ),
    *("\\ud800", "\\u0000", "\\\\", '\\"', "\x00", "\ufeff", "\u2028", "é"),
]
VALUES = {"str": "a", "bool": True, "int": 1, "float": 0.5, "dict": {}, "tuple": []}


def seeds() -> list[bytes]:
    """A valid request of every method, by name and by position, and the specification's oddities."""
    found = [line.encode() for line in SECTION_7]
    for name, method in METHODS.items():
        named = {
            field: next((v for kind, v in VALUES.items() if kind in str(of)), None)
            for field, of in method.params.__annotations__.items()
        }
        for params in (named, list(named.values())):
            request = {"jsonrpc": "2.0", "method": name, "params": params, "id": 1, "protocol": 1}
            found.append(json.dumps(request).encode())
    found.append(b"[" + b",".join(found[5:8] * (BATCH_MAX // 2)) + b"]")
    found.append(b'"' + b"x" * (FRAME_MAX + 1))
    return [b"\x00" + line + b"\n" for line in found]


def prepare(corpus: Path) -> Path:
    """Write the seeds and a dictionary for the mutator; returns the latter's path."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    words = corpus.parent / "words.dict"
    lines = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in [*WORDS, *METHODS])
    words.write_text("".join(f'"{line}"\n' for line in lines))
    return words


def main() -> None:
    """libFuzzer; its options come after the corpus folder."""
    corpus, *options = sys.argv[1:] or [".fuzz/corpus"]
    harness = Harness()

    def one(data: bytes) -> None:
        step, rest = (data[0] if data else 0), data[1:]
        pieces = [rest[at : at + step] for at in range(0, len(rest), step)] if step else [rest]
        harness.feed(pieces)

    given = [sys.argv[0], corpus]
    if not Path(corpus).is_file():  # else: that one input again
        given += [
            f"-dict={prepare(Path(corpus))}",
            f"-artifact_prefix={Path(corpus).parent}/",
            "-max_len=6000",
        ]
    atheris.Setup([*given, *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
