"""`make stop`: ends the local cloud."""

import sys

from local.cloud import BusyError, LocalCloud


def main() -> int:
    """End whatever runs of the local cloud; nothing to end is fine too."""
    cloud = LocalCloud()
    try:
        with cloud.locked():
            stopped = cloud.stop()
    except BusyError as error:
        sys.stderr.write(f"kith: {error}\n")
        return 1
    sys.stdout.write("The local cloud is stopped.\n" if stopped else "The local cloud did not run.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
