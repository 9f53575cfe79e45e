# shellcheck shell=bash
# What the recording scripts share, to be sourced by them: a server of their own, in a folder that goes with it.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
server=
user=() client=()
[ "$(id -u)" != 0 ] || user=(--user=root)

# Starts the MySQL of `deploy/install.sh mysql` with these options besides.
start_mysql() {
    programs=${MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-9.7}/bin
    "$programs/mysqld" --no-defaults "${user[@]}" --initialize-insecure --datadir="$work/data" \
        --secure-file-priv= --mysqlx=OFF 2>"$work/log"
    cd "$work/data"
    "$programs/mysqld" --no-defaults "${user[@]}" --datadir="$work/data" --socket="$work/sock" \
        --skip-networking --secure-file-priv="$work" --mysqlx=OFF --server-id=7 --log-error="$work/log" "$@" &
    server=$!
    run() { "$programs/mysql" --no-defaults -uroot --socket="$work/sock" "${client[@]}" "$@"; }
    wait_for_it
}

wait_for_it() {
    for _ in $(seq 100); do
        run -e 'SELECT 1' >/dev/null 2>&1 && break
        sleep 0.2
    done
}

# What SELECT says of every table of g, its columns written as this expression over
# information_schema.columns makes them.
tables_of_g() {
    local columns=$1 table of list
    for table in $(run -BN -e "SELECT table_name FROM information_schema.tables WHERE table_schema = 'g' ORDER BY 1"); do
        of="FROM information_schema.columns WHERE table_schema = 'g' AND table_name = '$table'"
        echo "# $table"
        list=$(run -BNr -e "SET group_concat_max_len = 100000; SELECT GROUP_CONCAT($columns ORDER BY ordinal_position) $of")
        run -BNr g -e "SELECT $list FROM \`$table\` ORDER BY 1"
    done
}
