#!/bin/sh
# rejoin.sh SERVER
#
# Makes a replica of a server that was the source until a failover, if it has nothing of its own; else says what it has.
#
# SERVER is the name of a [[server]], or its address; orchestrator's ORC_FAILED_HOST (and _PORT) is taken where none is given.
# Environment: ACKLINE (the program), ACKLINE_CONFIG (/etc/ackline/config.toml).
set -eu
. "$(dirname "$0")/moving.sh"
asked=${1:-${ORC_FAILED_HOST:+$ORC_FAILED_HOST${ORC_FAILED_PORT:+:$ORC_FAILED_PORT}}}
case "$asked" in '' | -*) usage ;; esac
run rejoin "$asked"
