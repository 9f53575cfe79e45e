#!/usr/bin/env bash
# Installs what tests/drivers.rs and tests/readers.rs run: tests/drivers/install.sh [python] [node] [perl] [java] [java-3.5]
#
#   python    PyMySQL, mysql-connector-python, asyncmy and mysql-replication, in an environment of their own
#   node      mysql2, mariadb and zongji, of the committed lock file
#   perl      Debian's DBD::MariaDB and DBD::mysql
#   java      Debian's MariaDB Connector/J, a JDK, and the test's programs compiled
#   java-3.5  the same, and Connector/J 3.5, for tests/suite/tls_own.rs
#
# Without a group: all but the last. What pip and npm bring goes below ACKLINE_DRIVERS (default
# ${XDG_CACHE_HOME:-~/.cache}/ackline/drivers) and nowhere else. Can be run again at any time, asks
# nothing, goes on where a group cannot be had, and then exits 1.
set -uo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-${HOME:?"neither ACKLINE_DRIVERS, XDG_CACHE_HOME nor HOME is set"}/.cache}
drivers=${ACKLINE_DRIVERS:-$cache/ackline/drivers}
mkdir -p "$drivers"

# Whether this group was installed from these very files.
stands() {
    local group=$1
    shift
    [ "$(cat "$drivers/$group/.made-of" 2>/dev/null)" = "$(cat "$@" | sha256sum)" ]
}

made() {
    local group=$1
    shift
    cat "$@" | sha256sum >"$drivers/$group/.made-of"
}

python() {
    "$drivers/python/bin/python" -c "import ssl" 2>/dev/null && stands python python/requirements.txt && return
    ../../deploy/install.sh python &&
        rm -rf "$drivers/python" &&
        python3 -m venv "$drivers/python" &&
        "$drivers/python/bin/pip" install --quiet --requirement python/requirements.txt &&
        made python python/requirements.txt
}

node() {
    stands node node/package.json node/package-lock.json && return
    ../../deploy/install.sh node &&
        mkdir -p "$drivers/node" &&
        cp node/package.json node/package-lock.json "$drivers/node" &&
        (cd "$drivers/node" && npm ci --silent --no-audit --no-fund --ignore-scripts) &&
        made node node/package.json node/package-lock.json
}

perl() {
    ../../deploy/install.sh perl
}

java() {
    ../../deploy/install.sh java || return
    stands java java/*.java && return
    mkdir -p "$drivers/java" &&
        javac -d "$drivers/java" -cp /usr/share/java/mariadb-java-client.jar java/*.java &&
        made java java/*.java
}

java-3.5() {
    ../../deploy/install.sh connector-j && java
}

status=0
[ $# -gt 0 ] || set -- python node perl java
for group in "$@"; do
    case "$group" in
    python | node | perl | java | java-3.5) ;;
    *)
        echo "usage: tests/drivers/install.sh [python] [node] [perl] [java] [java-3.5]" >&2
        exit 2
        ;;
    esac
    if ! "$group"; then
        echo "tests/drivers/install.sh: no $group drivers" >&2
        status=1
    fi
done
exit "$status"
