#!/bin/sh
# switchover.sh NEW_SOURCE [--deadline 10s] [--force]
#
# Makes another server the source while applications go on; the old one becomes its replica. It is rehearsed first, and
# nothing is touched where that is refused.
#
# NEW_SOURCE is the name of a [[server]], or its address. Further options go to `ackline switchover`.
# Environment: ACKLINE (the program), ACKLINE_CONFIG (/etc/ackline/config.toml).
set -eu
. "$(dirname "$0")/moving.sh"
case "${1:-}" in '' | -*) usage ;; esac
to=$1
shift
"$ACKLINE" switchover --to "$to" --dry-run "$@" --config "$ACKLINE_CONFIG" >&2
run switchover --to "$to" "$@"
