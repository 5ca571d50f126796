"""A bucket as a folder, for several processes: every object is a file, put in its place whole."""

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

from shared.adapters.s3 import Listed

_TAG_BYTES = 32


class FolderObjects:
    """What `S3Objects` does, on a folder; a tag is new with every writing."""

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.now = 0

    def put(self, key, data):
        new = self._folder / f".{uuid4().hex}"
        new.write_bytes(uuid4().hex.encode() + data)
        os.utime(new, (self.now / 1000, self.now / 1000))
        with self._locked():
            new.replace(self._path(key))

    def get(self, key):
        try:
            held = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        return held[_TAG_BYTES:], held[:_TAG_BYTES].decode()

    def list(self, prefix, after=""):
        names = (path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        for key in sorted(map(unquote, names)):
            if key.startswith(prefix) and key > after:
                try:
                    facts = self._path(key).stat()
                except FileNotFoundError:
                    continue
                yield Listed(key, facts.st_size - _TAG_BYTES, round(facts.st_mtime * 1000))

    def delete(self, key):
        self._path(key).unlink(missing_ok=True)

    def delete_if(self, key, tag):
        with self._locked():
            found = self.get(key)
            if found is not None and found[1] != tag:
                return False
            self.delete(key)
            return True

    def _path(self, key):
        return self._folder / quote(key, safe="")

    @contextmanager
    def _locked(self):
        """One process at a time: between a look at a tag and what it decides, nobody else writes."""
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
