#!/usr/bin/env bash
# `ackline provision` beside what it replaces, on this machine: a replica made anew
#
#   quiet      nobody makes one: how long writers wait anyway
#   provision  ackline provision replica2 --replace
#   clone      the same with --clone (MySQL only): the server is started again as soon as it has ended
#   dump       mariadb-dump --single-transaction of replica1 | mariadb to the emptied replica2 (MySQL: its own two programs)
#
# in interleaved rounds, while clients write through the proxy all the time. Per way: seconds until the server follows
# us again, CPU seconds of proxy, replicas and dump, and of the writers the 95th percentile and the longest write. Servers, data and proxy are a sandbox on loopback; everything is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

usage() {
    cat <<END
usage: deploy/bench_provision.sh [options]
  --rounds N       (default 3)
  --mib N          of rows, in tables of 16 MiB (default 512)
  --threads N      connections that write (default 4)
  --streams N      of provision (default 4)
  --flavor F       mariadb (default) or mysql
  --port P         first of 20 ports (default 14700)
  --short          one round of 16 MiB, to see that it works
The binaries are built with cargo, unless ACKLINE and WRITERS name them.
END
}

rounds=3 mib=512 threads=4 streams=4 flavor=mariadb port=14700
while [ $# -gt 0 ]; do
    case "$1" in
    --short)
        rounds=1 mib=16 threads=2
        shift
        continue
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    --rounds | --mib | --threads | --streams | --flavor | --port) ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    [ $# -ge 2 ] || {
        usage >&2
        exit 2
    }
    printf -v "${1#--}" %s "$2"
    shift 2
done

if [ -z "${ACKLINE:-}" ] || [ -z "${WRITERS:-}" ]; then
    cargo build --release --quiet --bin ackline --example writers
    ACKLINE=target/release/ackline WRITERS=target/release/examples/writers
fi
ACKLINE=$(realpath "$ACKLINE") WRITERS=$(realpath "$WRITERS")
dir=$(mktemp -d "${TMPDIR:-/tmp}/ackline-bench-provision-XXXXXX")
writers=""
finish() {
    [ -z "$writers" ] || kill "$writers" 2>/dev/null || true
    "$ACKLINE" sandbox down --dir "$dir/sandbox" >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap finish EXIT

ways=(quiet provision dump) more=()
if [ "$flavor" = mysql ]; then
    ways=(quiet provision clone dump) more=(--server-option plugin_load_add=mysql_clone.so)
fi
"$ACKLINE" sandbox up --dir "$dir/sandbox" --port "$port" --flavor "$flavor" "${more[@]}" >"$dir/up" 2>&1 || {
    cat "$dir/up"
    exit 1
}
manifest=$dir/sandbox/sandbox.json
config=$(jq -r .config "$manifest")
password=$(jq -r .source.password "$manifest")
app_password=$(jq -r .app.password "$manifest")
case "$flavor" in
mariadb)
    client=mariadb dump=mariadb-dump options=(--skip-ssl) dump_options=(--gtid --master-data=1)
    alone="STOP SLAVE; RESET SLAVE ALL; SET sql_log_bin=0; DROP DATABASE app; RESET MASTER; SET GLOBAL gtid_slave_pos=''"
    unlocked="" locked="" noun=SLAVE
    ;;
mysql)
    programs=${MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-9.7}/bin
    client=$programs/mysql dump=$programs/mysqldump options=() dump_options=(--set-gtid-purged=ON)
    unlocked="SET GLOBAL super_read_only=OFF;" locked="SET GLOBAL super_read_only=ON;"
    alone="$unlocked STOP REPLICA; RESET REPLICA ALL; SET sql_log_bin=0; DROP DATABASE app; RESET BINARY LOGS AND GTIDS"
    noun=REPLICA
    ;;
esac
# SERVER is an offset of the port: 10 the source, 11 and 12 the replicas.
sql() {
    local server=$1
    shift
    MYSQL_PWD=$password "$client" "${options[@]}" -h127.0.0.1 -P$((port + server)) -uadmin --default-character-set=utf8mb4 "$@"
}
value() { sql "$1" -NBe "$2" app; }

for server in 11 12; do
    sql $server -e "$unlocked SET sql_log_bin=0; GRANT ALL PRIVILEGES ON *.* TO ackline@'%' WITH GRANT OPTION; $locked"
done
tables=$(((mib + 15) / 16))
echo "filling $tables tables of 16 MiB"
for ((table = 1; table <= tables; table++)); do
    {
        echo "CREATE TABLE filled$table (id INT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(128), c DATETIME, KEY (a)) ENGINE=InnoDB;"
        echo "INSERT INTO filled$table (a, b, c) VALUES (1, REPEAT('x', 100), NOW());"
        for ((doubled = 0; doubled < 17; doubled++)); do
            echo "INSERT INTO filled$table (a, b, c) SELECT (a * 31 + id) % 1000000, SHA2(b, 512), c + INTERVAL id SECOND FROM filled$table;"
        done
    } | sql 10 app
done
ready() {
    "$ACKLINE" status --json --config "$config" |
        jq -e '[.replicas[] | select(.vote and .state == "streaming" and (.lag_seconds // 9) < 2)] | length == 2' >/dev/null
}
until ready; do sleep 0.2; done

# CPU seconds of these processes so far.
cpu_of() {
    for pid in "$@"; do cat "/proc/$pid/stat" 2>/dev/null || true; done |
        awk -v ticks="$(getconf CLK_TCK)" '{ sum += $14 + $15 } END { printf "%.2f", sum / ticks }'
}
# Of proxy and replicas, those included that have ended.
gone=0
cpu() {
    local pids
    mapfile -t pids < <(jq -r '.proxy.pid, .replicas[].pid' "$manifest")
    awk -v now="$(cpu_of "${pids[@]}")" -v gone="$gone" 'BEGIN { printf "%.2f", now + gone }'
}
children() { awk '/real|user|sys/ { sum += ($1 == "real" ? 0 : $2) } END { printf "%.2f", sum }' "$dir/times"; }

way_quiet() { sleep 5; }
way_provision() { "$ACKLINE" provision replica2 --replace --from replica1 --streams "$streams" --config "$config" >"$dir/said"; }
way_clone() {
    local old seen=0 now provision
    old=$(jq -r '.replicas[1].pid' "$manifest")
    "$ACKLINE" provision replica2 --replace --clone --from replica1 --streams "$streams" --config "$config" >"$dir/said" &
    provision=$!
    while now=$(cpu_of "$old") && [ "$now" != 0.00 ]; do
        seen=$now
        kill -0 "$provision" || return 1
        sleep 0.05
    done
    gone=$(awk -v gone="$gone" -v seen="$seen" 'BEGIN { print gone + seen }')
    "$ACKLINE" sandbox up --dir "$dir/sandbox" >/dev/null
    wait "$provision"
}
way_dump() {
    sql 12 -e "$alone"
    MYSQL_PWD=$password "$dump" "${options[@]}" -h127.0.0.1 -P$((port + 11)) -uadmin --single-transaction --routines --triggers --events \
        "${dump_options[@]}" --databases app >"$dir/fifo" &
    { [ "$flavor" = mysql ] || echo "SET sql_log_bin=0;"; cat "$dir/fifo"; } | sql 12
    wait $!
    local change
    if [ "$flavor" = mariadb ]; then
        change="CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$((port + 1)), MASTER_USER='$(jq -r .replication.user "$manifest")', MASTER_PASSWORD='$(jq -r .replication.password "$manifest")', MASTER_USE_GTID=slave_pos"
    else
        change="SET GLOBAL super_read_only=ON; CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$((port + 1)), SOURCE_USER='$(jq -r .replication.user "$manifest")', SOURCE_PASSWORD='$(jq -r .replication.password "$manifest")', SOURCE_AUTO_POSITION=1"
    fi
    sql 12 -e "$change; START $noun"
}

mkfifo "$dir/fifo"
for ((round = 1; round <= rounds; round++)); do
    for ((at = 0; at < ${#ways[@]}; at++)); do
        way=${ways[(at + round) % ${#ways[@]}]}
        coproc WRITING { "$WRITERS" "mysql://app:$app_password@127.0.0.1:$port/app" "$threads"; }
        writers=$WRITING_PID
        exec {said}<&"${WRITING[0]}" {on}>&"${WRITING[1]}"
        sleep 1
        before=$(cpu)
        began=$EPOCHREALTIME
        TIMEFORMAT=$'real %R\nuser %U\nsys %S'
        { time "way_$way"; } 2>"$dir/times" || {
            cat "$dir/times" "$dir/said" 2>/dev/null
            exit 1
        }
        seconds=$(awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }')
        used=$(awk -v from="$before" -v to="$(cpu)" -v own="$(children)" 'BEGIN { printf "%.1f", to - from + own }')
        eval "exec ${WRITING[1]}>&-"
        exec {on}>&-
        read -r _ p95 longest <&"$said"
        exec {said}<&-
        wait "$writers" || true
        writers=""
        latency="$p95 $longest"
        echo "$way $seconds $used $latency" >>"$dir/results"
        echo "round $round: $way: $seconds s, $used CPU s, writers' 95th percentile and longest: $latency ms"
        until ready; do sleep 0.5; done
    done
done
equal=yes
for ((table = 1; table <= tables; table++)); do
    [ "$(value 10 "CHECKSUM TABLE filled$table")" = "$(value 12 "CHECKSUM TABLE filled$table")" ] || equal=no
done
[ "$equal" = yes ] || {
    echo "replica2 differs"
    exit 1
}

median() { awk -v way="$1" -v column="$2" '$1 == way { print $column }' "$dir/results" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
echo
echo "| $flavor, $((tables * 16)) MiB, $threads writers, $streams streams | seconds | CPU s | writers' p95 ms | longest ms |"
echo "|---|---:|---:|---:|---:|"
for way in "${ways[@]}"; do
    echo "| $way | $(median "$way" 2) | $(median "$way" 3) | $(median "$way" 4) | $(median "$way" 5) |"
done
