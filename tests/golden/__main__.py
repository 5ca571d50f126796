"""`python -m tests.golden RELEASE`: write what this release writes into a folder of its own."""

import sys

from tests.golden.release import RELEASES, write

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which release? For example: python -m tests.golden 0.2.0")
    write(RELEASES / sys.argv[1])
