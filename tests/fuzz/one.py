"""One target in a process of its own: its name, then libFuzzer's arguments. Without any: all names."""

import signal
import sys
import tempfile
from pathlib import Path

import atheris

from tests.fuzz.target import corpus

INSTRUMENTED = ["shared", "kith", "cli", "infra", "local", "tests.fuzz.targets", "tests.fuzz.faulty"]

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
    target = _targets(name)[name]
    with tempfile.TemporaryDirectory() as seeds, tempfile.NamedTemporaryFile("w") as words:
        for number, data in enumerate([b"", *target.seeds(), *corpus(name)]):
            (Path(seeds) / str(number)).write_bytes(data)
        words.write("\n".join(f'"{_escaped(word)}"' for word in DICTIONARY))
        words.flush()
        atheris.Setup(["fuzz", f"-dict={words.name}", *arguments, seeds], lambda data: _run(target, data))
        atheris.Fuzz()


def _run(target, data):
    try:
        target.run(data)
    except BaseException:
        # What watches the time would end this process while it ends, before the input is written down.
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise


def _targets(name):
    """Return targets of which one has this name, or is to be told; negative controls need nothing of Kith."""
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.faulty import FAULTY  # noqa: PLC0415 - instrumented as it is imported

        if name in FAULTY:
            return FAULTY
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - as above, and only where it is needed

        return TARGETS


def _escaped(word):
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(_targets(None)))
    else:
        main(sys.argv[1], sys.argv[2:])
