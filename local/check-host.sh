#!/bin/sh
# Says, before anything is installed, what this machine still lacks.
set -eu

PYTHON="${PYTHON:-python3}"
node_major_min=20

fail() {
    echo "kith: $1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 ||
    fail "Python >= 3.11 is needed and '$PYTHON' was not found: sudo apt install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python >= 3.11 is needed, '$PYTHON' is $("$PYTHON" -V 2>&1): run make with PYTHON=/path/to/a/newer/python3"

# Debian ships the venv module without ensurepip unless python3-venv is installed.
"$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    fail "Python's venv module is incomplete: sudo apt install python3-venv"

command -v git >/dev/null 2>&1 ||
    fail "git was not found: sudo apt install git"
command -v node >/dev/null 2>&1 ||
    fail "Node >= $node_major_min is needed (for the CDK command line) and was not found: see https://nodejs.org/en/download"
node_version="$(node --version)"
node_major="${node_version#v}"
node_major="${node_major%%.*}"
[ "$node_major" -ge "$node_major_min" ] ||
    fail "Node >= $node_major_min is needed, this is $node_version: see https://nodejs.org/en/download"
command -v npm >/dev/null 2>&1 ||
    fail "npm was not found: sudo apt install npm"
