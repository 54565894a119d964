#!/bin/sh
# Starts the broker. The password comes from the environment, and its hash goes into a file in memory. No command line,
# no environment of a child process and no image contains the password.
set -eu
umask 077
here=$(dirname "$0")
users=${RUN_DIR:-/run/valkey}/users.acl
if [ -z "${BROKER_PASSWORD:-}" ]; then
  echo "The broker needs BROKER_PASSWORD." >&2
  exit 2
fi
hash=$(printf %s "$BROKER_PASSWORD" | sha256sum | cut -d' ' -f1)
sed "s/@PASSWORD@/#$hash/" "$here/users.acl" >"$users"
unset BROKER_PASSWORD hash
exec valkey-server "$here/valkey.conf" --aclfile "$users" "$@"
