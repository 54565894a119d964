#!/bin/sh
# Writes the locks anew: every package with its hashes, for every platform, and no address of an index.
#   run.txt        everything that can be installed (moneyback[all]): `make demo`, `make up`
#   base.txt       the package without extras, image.txt without the embedded servers: parts of run.txt
#   dev.txt        run.txt and what the tests need
#   bootstrap.txt  what installs and builds, build.txt what builds the packages that have no wheel
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header "$@"; }
subset() { lock pyproject.toml --constraint requirements/run.txt --output-file "$@"; }
lock pyproject.toml --extra all --output-file requirements/run.txt
subset requirements/base.txt
subset requirements/image.txt --extra stripe --extra braintree --extra paypal --extra adyen --extra mollie --extra mail --extra flower --extra oidc
subset requirements/dev.txt --extra all --group dev
lock requirements/bootstrap.in --output-file requirements/bootstrap.txt
lock requirements/build.in --output-file requirements/build.txt
