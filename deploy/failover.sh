#!/bin/sh
# failover.sh [NEW_SOURCE] [--accept-loss]
#
# Makes another server the source because the present one is dead or cannot be reached. Without NEW_SOURCE the one that
# has most is taken; the proof is printed.
#
# NEW_SOURCE is the name of a [[server]], or its address; orchestrator's ORC_SUCCESSOR_HOST (and _PORT) is taken where none is
# given. Further options go to `ackline failover`.
# Environment: ACKLINE (the program), ACKLINE_CONFIG (/etc/ackline/config.toml).
set -eu
. "$(dirname "$0")/moving.sh"
asked=
case "${1:-}" in
-h | --help) usage ;;
'' | -*) asked=${ORC_SUCCESSOR_HOST:+$ORC_SUCCESSOR_HOST${ORC_SUCCESSOR_PORT:+:$ORC_SUCCESSOR_PORT}} ;;
*)
    asked=$1
    shift
    ;;
esac
if [ -z "$asked" ]; then
    run failover "$@"
fi
run failover --to "$asked" "$@"
