#!/bin/sh
# Makes a release of the checked-out commit: `make release VERSION=0.2.0`. Publishes nothing.
#
#   1. stops unless the tree is clean, the version is newer, and the section "Unreleased" of CHANGELOG.md has entries
#   2. sets the version in pyproject.toml, moves the entries of "Unreleased" to the version, commits, and tags v0.2.0
#   3. builds dist/*.whl, dist/*.tar.gz and dist/*.cdx.json, the list of the packages in the image (CycloneDX)
#
# If a step after the commit fails, the script removes the commit, the tag and dist/.
set -eu
cd "$(dirname "$0")/.."
version="${1:-}"
bin="${BIN:-.venv/bin}"

stop() { echo "$*" >&2; exit 2; }

echo "$version" | grep -Eqx '(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}((a|b|rc)[1-9][0-9]*)?' ||
  stop "Give the version to release: make release VERSION=0.2.0"
[ -z "$(git status --porcelain)" ] || stop "There are uncommitted changes. Commit or stash them."
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || stop "The tag v$version exists already."
"$bin/python" deploy/release.py "$version" || exit 2

before="$(git rev-parse HEAD)"
undo() {
  git tag --delete "v$version" >/dev/null 2>&1 || true
  git reset --quiet --hard "$before"
  rm -rf dist
  stop "A step failed; the error is above. The release was undone."
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
