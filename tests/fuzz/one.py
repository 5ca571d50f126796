"""One target in a process of its own: its name, then libFuzzer's arguments. Without any: all names."""

import sys
import tempfile
from pathlib import Path

import atheris

INSTRUMENTED = ["shared", "kith", "cli", "tests.fuzz.targets"]

with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
    from tests.fuzz.targets import FAULTY, TARGETS, corpus

DICTIONARY = (
    *(
        '"messageId"',
        '"timestamp"',
        '"traits"',
        '"userId"',
        '"kith_control"',
        '"type":"identify"',
        '"context"',
    ),
    *(
        "\\ud800",
        "\\u0000",
        "1e400",
        "-0",
        "1E+999999999999999999",
        "{",
        "[",
        "]]",
        "null",
        "2026-01-02T03:04:05Z",
    ),
)


def main(name, arguments):
    target = TARGETS.get(name, FAULTY)
    with tempfile.TemporaryDirectory() as seeds, tempfile.NamedTemporaryFile("w") as words:
        for number, data in enumerate([b"", *target.seeds(), *corpus(name)]):
            (Path(seeds) / str(number)).write_bytes(data)
        words.write("\n".join(f'"{_escaped(word)}"' for word in DICTIONARY))
        words.flush()
        atheris.Setup(["fuzz", f"-dict={words.name}", *arguments, seeds], target.run)
        atheris.Fuzz()


def _escaped(word):
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(TARGETS))
    else:
        main(sys.argv[1], sys.argv[2:])
