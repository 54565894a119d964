#!/bin/sh
# Writes the locks anew: every package with its hashes, for every platform, and no address of an index.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header "$@"; }
lock pyproject.toml --output-file requirements/run.txt
lock pyproject.toml --group dev --output-file requirements/dev.txt --constraint requirements/run.txt
lock requirements/bootstrap.in --output-file requirements/bootstrap.txt
