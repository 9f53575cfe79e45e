# For switchover.sh, failover.sh and rejoin.sh, which read it.
#
# ACKLINE is the program, ACKLINE_CONFIG its configuration. Each script says on stderr what it runs; its exit status is
# that of `ackline` (ackline help moves): 0 done, 1 refused and nothing touched, 2 wrong usage, 3 no running proxy reached,
# 4 begun and taken back, 5 the new source is kept and not open yet.

ACKLINE=${ACKLINE:-ackline}
ACKLINE_CONFIG=${ACKLINE_CONFIG:-/etc/ackline/config.toml}

usage() {
    sed -n 's/^# \{0,1\}//p' "$0" | sed '1d' >&2
    exit 2
}

run() {
    echo "$(basename "$0"): $ACKLINE $*" >&2
    exec "$ACKLINE" "$@" --config "$ACKLINE_CONFIG"
}
