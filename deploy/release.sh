#!/bin/sh
# Makes a release out of the checked-out commit: `make release VERSION=0.2.0`. Nothing leaves this machine.
#
#   1. refuses unless the tree is clean, the version is newer and CHANGELOG.md has something under "Unreleased"
#   2. sets the version in pyproject.toml, moves what is under "Unreleased" below it, commits, and tags v0.2.0
#   3. builds dist/*.whl, dist/*.tar.gz and dist/*.cdx.json, the list of the packages in the image (CycloneDX)
#
# If a step after the commit fails, nothing is left: the commit and the tag are taken back.
set -eu
cd "$(dirname "$0")/.."
version="${1:-}"
bin="${BIN:-.venv/bin}"

stop() { echo "$*" >&2; exit 2; }

echo "$version" | grep -Eqx '(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}((a|b|rc)[1-9][0-9]*)?' ||
  stop "Say which version to release, like this: make release VERSION=0.2.0"
[ -z "$(git status --porcelain)" ] || stop "There are changes that are not committed. Commit them, or put them aside."
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || stop "The tag v$version is there already."
"$bin/python" deploy/release.py "$version" || exit 2

before="$(git rev-parse HEAD)"
undo() {
  git tag --delete "v$version" >/dev/null 2>&1 || true
  git reset --quiet --hard "$before"
  rm -rf dist
  stop "The release was taken back: the step that is named above failed."
}
trap undo EXIT

git commit --quiet --all --message "Release $version"
git tag --annotate "v$version" --message "Moneyback $version"
rm -rf dist
"$bin/python" -m hatchling build --target wheel --target sdist --directory dist >/dev/null
"$bin/cyclonedx-py" requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
  --output-format JSON --output-file "dist/moneyback-$version.cdx.json" requirements/image.txt
trap - EXIT
echo "Released $version: the commit $(git rev-parse --short HEAD), the tag v$version, and in dist/:"
ls dist
echo "Check them, then publish: git push --follow-tags, and upload what is in dist/."
