"""Lambda zips without Docker: wheels for the function's platform, trimmed, beside the sources.

Folders are cached under `.build/` by what they are made of, and named for CDK by what they hold:
the same content is the same asset, wherever and whenever it was built.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parent.parent
BUILD: Final = ROOT / ".build"

Target = Literal["aws", "local"]

CONSTRAINTS: Final = ROOT / "constraints.txt"

PIP_ARGUMENTS: Final[dict[Target, tuple[str, ...]]] = {
    "aws": (
        "--platform=manylinux2014_aarch64",
        "--platform=manylinux_2_28_aarch64",
        "--only-binary=:all:",
        "--implementation=cp",
        "--python-version=3.13",
    ),
    "local": (),
}
"""Python 3.13 on arm64 on AWS; the local engine runs functions with the host's own Python."""

SERVICES: Final = ("dynamodb", "kinesis", "lambda", "s3", "sts")
"""The services whose botocore models the functions load."""

UNUSED: Final = (
    "bin",
    "*.dist-info",
    "**/__pycache__",
    "**/*.pyi",
    "**/tests",
    "**/testdata",
    "boto3/examples",
    "zstandard/*cffi*",  # the second backend; CPython takes the C one
)
"""What no function imports: glob patterns below the folder of packages."""


@dataclass(frozen=True)
class Bundle:
    """A folder to zip for a function; `digest` stands for what is in it."""

    path: Path
    digest: str


def bundle_function(name: str, target: Target, folders: Sequence[str] = ()) -> Bundle:
    """Bundle `lambdas/<name>`, `shared`, their packages and further folders of this repository."""
    packages = _packages(_requirements(name), target)
    sources = ["lambdas/__init__.py", *_files(f"lambdas/{name}", "shared", *folders)]
    recipe = _digest([packages.name, *_contents(ROOT, sources)])
    path = _build_once(
        BUILD / "functions" / f"{name}-{target}-{recipe}",
        lambda folder: _assemble(folder, packages, sources, target),
    )
    held = (str(file.relative_to(path)) for file in _walk(path))
    return Bundle(path, _digest([target, *_contents(path, held)]))


def digest_of(*folders: str) -> str:
    """Digest the files below folders of this repository."""
    return _digest(_contents(ROOT, _files(*folders)))


def _requirements(name: str) -> list[Path]:
    """List what to install: the common packages, and those a function's own folder asks for."""
    files = (ROOT / "lambdas" / "requirements.txt", ROOT / "lambdas" / name / "requirements.txt")
    return [file for file in files if file.exists()]


def _packages(requirements: Sequence[Path], target: Target) -> Path:
    """Install packages for the target and trim them; returns their folder."""
    pins = (file.read_text() for file in (*requirements, CONSTRAINTS))
    recipe = (Path(__file__).read_text(), sys.version, target, *pins)

    def install(folder: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        wanted = [f"--constraint={CONSTRAINTS}", *(f"--requirement={file}" for file in requirements)]
        subprocess.run(  # noqa: S603  # our own interpreter and files of this repository
            [*pip, "--no-compile", *PIP_ARGUMENTS[target], f"--target={folder}", *wanted], check=True
        )
        _trim(folder)
        _compile(folder, target)

    return _build_once(BUILD / "packages" / f"{target}-{_digest(recipe)}", install)


def _trim(packages: Path) -> None:
    models = (model for model in (packages / "botocore" / "data").iterdir() if model.is_dir())
    unused = [path for pattern in UNUSED for path in packages.glob(pattern)]
    for path in [*unused, *(model for model in models if model.name not in SERVICES)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _assemble(folder: Path, packages: Path, sources: Iterable[str], target: Target) -> None:
    """Lay the packages beside the sources; they are linked, since nobody writes to either."""
    for source in sources:
        (folder / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, folder / source)
    _compile(folder, target)
    shutil.copytree(packages, folder, copy_function=os.link, dirs_exist_ok=True)


def _compile(folder: Path, target: Target) -> None:
    """Spare cold starts the compiling, where this interpreter is also the one that will run."""
    if target == "local":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=mode, stripdir=str(folder))


def _build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder unless it is there; it appears whole or not at all, also with two at work."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
    try:
        build(unfinished)
        unfinished.chmod(0o755)
        if not folder.exists():
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _files(*folders: str) -> list[str]:
    return [str(file.relative_to(ROOT)) for folder in folders for file in _walk(ROOT / folder)]


def _walk(folder: Path) -> Iterator[Path]:
    """List the files below a folder that make up its content: compiled ones only repeat it."""
    return (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")


def _contents(folder: Path, files: Iterable[str]) -> Iterator[str]:
    for file in sorted(files):
        yield file
        yield hashlib.sha256((folder / file).read_bytes()).hexdigest()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
