"""Lambda zips without Docker: wheels for the function's platform, trimmed, beside the sources.

Folders are cached under `.build/` by what they are made of, and named for CDK by what they hold:
the same content is the same asset, wherever and whenever it was built.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final, Literal

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT: Final = Path(__file__).parent.parent
BUILD: Final = ROOT / ".build"

Target = Literal["aws", "local"]

LAMBDA_PYTHON: Final = "3.13"

CONSTRAINTS: Final = ROOT / "constraints.txt"

PIP_ARGUMENTS: Final[dict[Target, tuple[str, ...]]] = {
    "aws": (
        "--platform=manylinux2014_aarch64",
        "--platform=manylinux_2_28_aarch64",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={LAMBDA_PYTHON}",
    ),
    "local": (),
}
"""Python 3.13 on arm64 on AWS; the local engine runs functions with the host's own Python."""

SHARED: Final = ("rebuild",)
"""Capabilities whose functions share one bundle: `rebuild` holds every `lambdas/rebuild_*`.

They run one after another on the same definitions, and need nearly the same packages.
"""

SERVICES: Final = ("dynamodb", "kinesis", "lambda", "s3", "secretsmanager", "sqs", "sts")
"""The services whose botocore models the functions load."""

UNUSED: Final = (
    "bin",
    "**/__pycache__",
    "**/*.pyi",
    "**/tests",
    "**/testdata",
    "boto3/examples",
    "zstandard/*cffi*",  # the second backend; CPython takes the C one
)
"""What no function imports: glob patterns below the folder of packages."""

ASK_FOR_THEMSELVES: Final = frozenset(("pg8000", "scramp"))
"""Packages that look up their own version when they are imported, in what pip notes of them."""


@dataclass(frozen=True)
class Bundle:
    """A folder to zip for a function; `digest` stands for what is in it."""

    path: Path
    digest: str


def bundle_function(name: str, target: Target, folders: Sequence[str] = ()) -> Bundle:
    """Bundle a function, or all that share a bundle, with `kith`, `shared`, packages and further folders."""
    name = bundle_of(name)
    functions = functions_in(name)
    installed = _install(target)
    wanted = _needed(installed, _requirements(functions))
    handlers = (f"lambdas/{one}" for one in functions)
    sources = ["lambdas/__init__.py", *_files(*handlers, "kith", "shared", *folders)]
    recipe = _digest([installed.name, *sorted(wanted), *_contents(ROOT, sources)])
    path = _build_once(
        BUILD / "functions" / f"{name}-{target}-{recipe}",
        lambda folder: _assemble(folder, installed, wanted, sources, target),
    )
    return Bundle(path, _digest([target, *_held(path)]))


def digest_of(*folders: str) -> str:
    """Digest the files below folders of this repository."""
    return _digest(_contents(ROOT, _files(*folders)))


@cache
def _held(path: Path) -> tuple[str, ...]:
    """List what a built folder holds: read once, for nobody writes to it and many functions may share it."""
    files = (str(file.relative_to(path)) for file in _walk(path))
    return tuple(_contents(path, files))


def bundle_of(function: str) -> str:
    """Name the bundle of a function: its own, or the one that it shares."""
    return next((name for name in SHARED if function.startswith(f"{name}_")), function)


def functions_in(name: str) -> list[str]:
    """List the functions of a bundle."""
    if name not in SHARED:
        return [name]
    return sorted(folder.name for folder in (ROOT / "lambdas").glob(f"{name}_*"))


def _requirements(functions: Sequence[str]) -> list[Path]:
    """List what to install: the common packages, and those that the functions' own folders ask for."""
    folders = (ROOT / "lambdas", *(ROOT / "lambdas" / name for name in functions))
    return [file for folder in folders if (file := folder / "requirements.txt").exists()]


def _install(target: Target) -> Path:
    """Install what any function asks for, once for all, and trim it; returns the folder of packages."""
    requirements = sorted((ROOT / "lambdas").rglob("requirements.txt"))
    pins = (file.read_text() for file in (*requirements, CONSTRAINTS))
    compiler = sys.version if target == "local" else str(runtime_python())
    recipe = (Path(__file__).read_text(), compiler, target, *pins)

    def install(folder: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        wanted = [f"--constraint={CONSTRAINTS}", *(f"--requirement={file}" for file in requirements)]
        subprocess.run(  # noqa: S603  # our own interpreter and files of this repository
            [*pip, "--no-compile", *PIP_ARGUMENTS[target], f"--target={folder}", *wanted], check=True
        )
        _trim(folder)
        _compile(folder, target)

    return _build_once(BUILD / "packages" / f"{target}-{_digest(recipe)}", install)


def _needed(installed: Path, requirements: Iterable[Path]) -> set[str]:
    """Name the entries of the folder of packages that hold what is asked for, and what that stands on."""
    packages = _packages(installed)
    asked = [canonicalize_name(Requirement(line).name) for file in requirements for line in _lines(file)]
    needed: set[NormalizedName] = set()
    while asked:
        name = asked.pop()
        if name not in needed:
            needed.add(name)
            asked += packages[name].stands_on
    return {"__pycache__"}.union(*(packages[name].entries for name in needed))


@dataclass(frozen=True)
class Package:
    """What a package has put beside those of others, and the names of those that it stands on."""

    entries: frozenset[str]
    stands_on: tuple[NormalizedName, ...]


@cache
def _packages(installed: Path) -> dict[NormalizedName, Package]:
    return {canonicalize_name(one.name): _package(one) for one in distributions(path=[str(installed)])}


def _package(found: Distribution) -> Package:
    # pip, too, judges markers by the Python that it runs with, not by the one it installs for.
    asked = map(Requirement, found.requires or ())
    stands_on = (one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": ""}))
    entries = frozenset(file.parts[0] for file in found.files or ())
    if canonicalize_name(found.name) not in ASK_FOR_THEMSELVES:
        entries = frozenset(one for one in entries if not one.endswith(".dist-info"))
    return Package(
        entries,
        tuple(map(canonicalize_name, stands_on)),
    )


def _lines(requirements: Path) -> Iterator[str]:
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    return (line for line in lines if line)


def _trim(packages: Path) -> None:
    models = (model for model in (packages / "botocore" / "data").iterdir() if model.is_dir())
    unused = [path for pattern in UNUSED for path in packages.glob(pattern)]
    for path in [*unused, *(model for model in models if model.name not in SERVICES)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _assemble(
    folder: Path, installed: Path, wanted: AbstractSet[str], sources: Iterable[str], target: Target
) -> None:
    """Lay the wanted packages beside the sources; they are linked, since nobody writes to either."""
    for source in sources:
        (folder / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, folder / source)
    _compile(folder, target)

    def unwanted(below: str, names: list[str]) -> set[str]:
        return {*names} - wanted if Path(below) == installed else set()

    shutil.copytree(installed, folder, copy_function=os.link, dirs_exist_ok=True, ignore=unwanted)


def _compile(folder: Path, target: Target) -> None:
    """Spare cold starts the compiling, where the Python that will run is at hand; it halves an import.

    The local engine runs functions from folders that Python can write to: it compiles what is imported.
    """
    python = runtime_python() if target == "aws" else None
    if python:
        subprocess.run(  # noqa: S603  # an interpreter of this machine, and a folder of ours
            [python, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", "-s", folder, folder],
            check=False,  # what does not compile is not imported either
            stdout=subprocess.DEVNULL,
        )


@cache
def runtime_python() -> str | None:
    """Find an interpreter of the version that Lambda runs."""
    python = shutil.which(f"python{LAMBDA_PYTHON}")
    if python is None:
        return None
    version = subprocess.run(  # noqa: S603  # found on the user's own PATH
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=False,
        capture_output=True,
        text=True,
    )
    return python if version.stdout.strip() == LAMBDA_PYTHON else None


def _build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder unless it is there; it appears whole or not at all, also with two at work."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
    try:
        build(unfinished)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody else was faster, and built the same
                raise
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
