#!/usr/bin/env bash
# Ackline against what it replaces, on this machine: sysbench through
#
#   a  the source directly, with two native semi-sync replicas
#   b  the same through HAProxy in TCP mode
#   c  native semi-sync with two truly durable replicas (sync_relay_log=1)
#   d  Ackline with two replicas in semi-sync (own binlog fsynced, and one replica)
#   e  as a, through MySQL Router (static routing, connection sharing off)
#
# in interleaved rounds; one table of medians in Markdown. TLS is off everywhere; with --tls the clients use it, to the
# source itself in a, b, c and e, and to Ackline, which speaks to its source in clear, in d. sysbench prepares its
# statements, so that a proxy which reads statements does so once for each connection; point_select_text
# is the workload where each query comes as text, to be classified by Ackline one by one. insert_N has one
# commit for each round trip and N connections; after the rounds each runs through Ackline once more, and a
# table shows where its commits' time goes (ackline trace). applied is no sysbench: one client inserts row by row,
# through a and d in turns, and what is measured is the time from its OK until the row is applied at a replica
# (deploy/bench/applied.rs). The CPU time of a
# proxy is that of all its threads over the whole round, its logins included, divided by the queries of that
# round (sysbench's count: BEGIN and COMMIT are queries too). All servers run on loopback with the same
# options: each set is a sandbox, and for a, b, c and e its proxy is taken away and the replicas pull from
# the source instead. Everything is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

usage() {
    cat <<END
usage: deploy/bench.sh [options]
  --rounds N       measured rounds (default 3)
  --seconds N      length of one measurement (default 20); all of it takes rounds x seconds x ways x
                   workloads, and about a minute: 21 minutes by default, 7 with --seconds 6
  --threads N      connections of sysbench (default 8)
  --tables N       (default 4)
  --table-size N   rows in each (default 20000)
  --only LIST      of ways (a,b,c,d,e) and workloads (point_select,point_select_text,write_only,read_write,
                   insert for insert_1, insert_8 and insert_32, applied)
  --flavor F       of the servers: mariadb (default), or mysql with --only applied
  --port P         first of 80 ports (default 13400)
  --tls            clients encrypt
  --seed S         of sysbench and of the order (default: random, printed)
  --dir DIR        where the data lies meanwhile (default: in TMPDIR)
  --short          one round of 1 s on small tables, to see that it works (about 45 s with its servers)
The binaries are built with cargo, unless ACKLINE and APPLIED_BENCH name them.
END
}

rounds=3 seconds=20 threads=8 tables=4 table_size=20000 port=13400 seed=$RANDOM only="" dir="" tls="" flavor=mariadb applied_rows=300
while [ $# -gt 0 ]; do
    case "$1" in
    --short)
        rounds=1 seconds=1 threads=4 tables=1 table_size=1000 applied_rows=30
        shift
        continue
        ;;
    --tls)
        tls=yes
        shift
        continue
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    --rounds | --seconds | --threads | --tables | --table-size | --only | --flavor | --port | --seed | --dir) ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    [ $# -ge 2 ] || {
        usage >&2
        exit 2
    }
    name=${1#--}
    printf -v "${name//-/_}" %s "$2"
    shift 2
done

ways=() workloads=() applied=""
for item in ${only//,/ }; do
    case "$item" in
    a | b | c | d | e) ways+=("$item") ;;
    point_select | point_select_text | write_only | read_write) workloads+=("$item") ;;
    insert) workloads+=(insert_1 insert_8 insert_32) ;;
    applied) applied=yes ;;
    insert_[1-9]*) workloads+=("$item") ;;
    *)
        echo "bench: --only takes a, b, c, d, e, point_select, point_select_text, write_only, read_write, insert and applied, not '$item'" >&2
        exit 2
        ;;
    esac
done
[ ${#ways[@]} -gt 0 ] || ways=(a b c d e)
[ -n "$applied" ] || [ ${#workloads[@]} -gt 0 ] || {
    workloads=(point_select point_select_text write_only read_write insert_1 insert_8 insert_32)
    applied=yes
}
declare -A title=(
    [a]="(a) native semi-sync, direct" [b]="(b) the same through HAProxy"
    [c]="(c) native semi-sync, sync_relay_log=1" [d]="(d) Ackline, semi-sync"
    [e]="(e) as (a), through MySQL Router"
)
# Which servers a way uses.
declare -A set_of=([a]=native [b]=native [c]=durable [d]=ackline [e]=native)
declare -A port_of_set=([native]=$port [durable]=$((port + 20)) [ackline]=$((port + 40)))
haproxy_port=$((port + 60))
router_port=$((port + 61))
has_way() { [[ " ${ways[*]} " == *" $1 "* ]]; }
# Of these two only, whatever else is asked for.
if [ ${#workloads[@]} = 0 ]; then
    ways=(a d)
elif ! has_way a || ! has_way d; then
    [[ ",$only," != *,applied,* ]] || echo "bench: without a and d, applied is not measured" >&2
    applied=""
fi

case "$flavor" in
mariadb) deploy/install.sh build servers bench ;;
mysql)
    # Its client speaks to MySQL, too.
    [ ${#workloads[@]} = 0 ] || {
        echo "bench: --flavor mysql takes --only applied" >&2
        exit 2
    }
    deploy/install.sh build servers mysql
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
router=""
if has_way e; then
    if deploy/install.sh router; then
        # As deploy/unpack.sh decides it.
        router=$(realpath "${MYSQL_ROUTER_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-router-9.7}")
    elif [[ " ${only//,/ } " == *" e "* ]]; then
        exit 1
    else
        without_router="NOT MEASURED: (e), since MySQL Router cannot be had here (deploy/install.sh router)"
        echo "bench: $without_router" >&2
        ways=(a b c d)
    fi
fi
# Together: apart they would be built with other features of what they depend on.
if [ -z "${ACKLINE:-}" ] || { [ -n "$applied" ] && [ -z "${APPLIED_BENCH:-}" ]; }; then
    cargo build --release --bin ackline ${applied:+--example applied_bench}
fi
ackline=$(realpath "${ACKLINE:-target/release/ackline}")
[ -z "$applied" ] || applied_bench=$(realpath "${APPLIED_BENCH:-target/release/examples/applied_bench}")

data=$(mktemp -d "${dir:-${TMPDIR:-/tmp}}/ackline-bench.XXXXXX")
results=$data/results.tsv
haproxy_pid="" router_pid=""
cleanup() {
    status=$?
    trap - EXIT INT TERM
    for pid in $haproxy_pid $router_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    for set in native durable ackline; do
        [ ! -d "$data/$set" ] || "$ackline" sandbox down --dir "$data/$set" 2>>"$data/log" || status=1
    done
    [ "$status" = 0 ] || tail -n 30 "$data/log" >&2 || true
    rm -rf "$data"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

of() { jq -r "$2" "$data/$1/sandbox.json"; }
# Statements at a server of a set: sql SET my.cnf-folder STATEMENT
sql() { mariadb --defaults-file="$data/$1/$2/my.cnf" -NBe "$3"; }

# Takes the proxy of a set away, and lets the replicas pull from the source with native semi-sync.
make_native() {
    local set=$1 replica source_port says=master
    [ "$flavor" = mariadb ] || says=source
    source_port=$(of "$set" .source.port)
    # The settings of gate 1, so that both sides promise the same.
    sql "$set" source "
        SET GLOBAL rpl_semi_sync_${says}_wait_point = AFTER_SYNC;
        SET GLOBAL rpl_semi_sync_${says}_timeout = 18446744073709551615;
        SET GLOBAL rpl_semi_sync_${says}_enabled = ON;
        SET GLOBAL read_only = OFF;"
    kill "$(of "$set" .proxy.pid)"
    while [ -n "$(sql "$set" source "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' LIMIT 1")" ]; do
        sleep 0.1
    done
    for replica in replica1 replica2; do
        if [ "$flavor" = mariadb ]; then
            sql "$set" "$replica" "
                STOP SLAVE;
                CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$source_port,
                    MASTER_USER='$(of "$set" .source.user)', MASTER_PASSWORD='$(of "$set" .source.password)',
                    MASTER_USE_GTID=slave_pos;
                START SLAVE;"
        else
            sql "$set" "$replica" "
                STOP REPLICA;
                CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$source_port,
                    SOURCE_USER='$(of "$set" .source.user)', SOURCE_PASSWORD='$(of "$set" .source.password)',
                    SOURCE_AUTO_POSITION=1, SOURCE_SSL=0, GET_SOURCE_PUBLIC_KEY=1;
                START REPLICA;"
        fi
    done
    for _ in $(seq 100); do
        [ "$(sql "$set" source "SHOW STATUS LIKE 'Rpl_semi_sync_${says}_clients'" | cut -f2)" != 2 ] || return 0
        sleep 0.1
    done
    echo "bench: the native replicas of $set do not attach" >&2
    return 1
}

# Until both replicas have applied everything, so that no way pays for the one before it.
settle() {
    local set=$1 position replica at=gtid_binlog_pos wait=MASTER_GTID_WAIT
    [ "$flavor" = mariadb ] || at=gtid_executed wait=WAIT_FOR_EXECUTED_GTID_SET
    position=$(sql "$set" source "SELECT @@global.$at" | sed 's/\\n//g')
    for replica in replica1 replica2; do
        [ "$(sql "$set" "$replica" "SELECT $wait('$position', 600)")" = 0 ] || {
            echo "bench: $replica of $set does not catch up" >&2
            return 1
        }
    done
}

# Seconds of CPU that a process has used: all its threads, also those that have ended.
cpu() {
    [ -n "$1" ] || {
        echo 0
        return
    }
    # After the name in parentheses, which may hold blanks: user time is the 12th field, system the 13th.
    sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f\n", ($12 + $13) / hz }'
}

port_of() {
    case "$1" in
    b) echo "$haproxy_port" ;;
    e) echo "$router_port" ;;
    d) of ackline .app.port ;;
    *) of "${set_of[$1]}" .source.port ;;
    esac
}

proxy_pid_of() {
    case "$1" in
    b) echo "$haproxy_pid" ;;
    e) echo "$router_pid" ;;
    d) of ackline .proxy.pid ;;
    esac
}

# run_sysbench WAY WORKLOAD COMMAND [OPTION…]
run_sysbench() {
    local way=$1 workload=$2 set=${set_of[$1]} statements=auto connections=$threads
    shift 2
    [ "$workload" != point_select_text ] || statements=disable
    if [[ $workload == insert_* ]]; then
        connections=${workload#insert_}
        workload=insert
    fi
    # It looks for the files of TLS where it runs.
    (cd "$data" && sysbench "oltp_${workload%_text}" ${tls:+--mysql-ssl=on} --db-ps-mode="$statements" \
        --db-driver=mysql --mysql-host=127.0.0.1 --mysql-port="$(port_of "$way")" \
        --mysql-user="$(of "$set" .app.user)" --mysql-password="$(of "$set" .app.password)" \
        --mysql-db="$(of "$set" .app.database)" --tables="$tables" --table-size="$table_size" \
        --threads="$connections" --percentile=95 "$@")
}

per_query() { # SECONDS QUERIES: microseconds
    awk -v seconds="$1" -v queries="$2" 'BEGIN { printf "%.1f", queries ? seconds / queries * 1e6 : 0 }'
}

measure() { # WAY WORKLOAD ROUND
    local way=$1 workload=$2 round=$3 set=${set_of[$1]} proxy source out
    proxy=$(proxy_pid_of "$way")
    source=$(of "$set" .source.pid)
    local proxy_before source_before proxy_used source_used
    proxy_before=$(cpu "$proxy") source_before=$(cpu "$source")
    out=$data/sysbench.out
    run_sysbench "$way" "$workload" --time="$seconds" --rand-seed=$((seed + round)) run >"$out" 2>&1 || {
        cat "$out" >&2
        return 1
    }
    proxy_used=$(awk -v a="$proxy_before" -v b="$(cpu "$proxy")" 'BEGIN { printf "%.2f", b - a }')
    source_used=$(awk -v a="$source_before" -v b="$(cpu "$source")" 'BEGIN { printf "%.2f", b - a }')
    local tps p95 errors queries proxy_each source_each
    tps=$(sed -n 's/.*transactions: .*(\([0-9.]*\) per sec.*/\1/p' "$out")
    p95=$(sed -n 's/.*95th percentile: *//p' "$out")
    errors=$(sed -n 's/.*ignored errors: *\([0-9]*\).*/\1/p' "$out")
    queries=$(sed -n 's/.*queries: *\([0-9]*\) .*/\1/p' "$out")
    proxy_each=$(per_query "$proxy_used" "$queries") source_each=$(per_query "$source_used" "$queries")
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$workload" "$way" "$tps" "$p95" "$proxy_each" "$source_each" >>"$results"
    printf 'round %s  %-17s %-40s %9s tps  p95 %7s ms  CPU us/query: proxy %6s source %6s%s\n' "$round" "$workload" \
        "${title[$way]}" "$tps" "$p95" "$proxy_each" "$source_each" \
        "$([ "${errors:-0}" = 0 ] || echo "  ($errors deadlocks or other errors, retried)")"
    settle "$set"
}

column() { # WORKLOAD WAY COLUMN: a line for each round
    awk -F'\t' -v workload="$1" -v way="$2" -v column="$3" \
        '$1 == workload && $2 == way { print $column }' "$results"
}

median() { # WORKLOAD WAY COLUMN
    column "$@" | sort -n |
        awk '{ v[NR] = $1 } END { if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

echo "machine: $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), \
$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB memory, Linux $(uname -r)"
if [ "$flavor" = mysql ]; then
    programs=("MySQL $("${MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-9.7}/bin/mysqld" --version | sed 's/.*Ver \([^ ]*\).*/\1/')")
else
    programs=("MariaDB $(mariadbd --version | sed 's/.*Ver \([^ ]*\).*/\1/')" ", $(haproxy -v | head -n 1 | cut -d' ' -f1-3)"
        "${router:+, $("$router/bin/mysqlrouter" --version | sed 's/ for .*//; s/ *Ver / /')}" ", $(sysbench --version)")
fi
echo "versions: $("$ackline" --version), $(printf %s "${programs[@]}")"
echo "seed $seed, $rounds rounds of $seconds s, $threads threads, $tables tables of $table_size rows${tls:+, clients use TLS};" \
    "$(date -u +%F), load before: $(cut -d' ' -f1-3 /proc/loadavg)"

tls_options=()
if [ -n "$tls" ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=bench -addext basicConstraints=CA:TRUE \
        -keyout "$data/cacert.key" -out "$data/cacert.pem" 2>>"$data/log"
    openssl req -new -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout "$data/client-key.pem" 2>>"$data/log" |
        openssl x509 -req -days 30 -CA "$data/cacert.pem" -CAkey "$data/cacert.key" -CAcreateserial \
            -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") -out "$data/client-cert.pem" 2>>"$data/log"
    for option in "ssl_ca=$data/cacert.pem" "ssl_cert=$data/client-cert.pem" "ssl_key=$data/client-key.pem"; do
        tls_options+=(--server-option "$option")
    done
fi
declare -A prepared=()
for way in "${ways[@]}"; do
    set=${set_of[$way]}
    [ -z "${prepared[$set]:-}" ] || continue
    prepared[$set]=yes
    options=("${tls_options[@]}")
    [ "$set" != durable ] || options+=(--server-option sync_relay_log=1)
    echo "starting the servers of $set"
    "$ackline" sandbox up --flavor "$flavor" --dir "$data/$set" --port "${port_of_set[$set]}" --replicas 2 \
        --mode semi-sync "${options[@]}" >/dev/null 2>>"$data/log"
    [ "$set" = ackline ] || make_native "$set"
    if [ -n "$tls" ] && [ "$set" = ackline ]; then
        printf '\n[tls]\ncert = "%s"\nkey = "%s"\n' "$data/client-cert.pem" "$data/client-key.pem" >>"$data/ackline/config.toml"
        # It looks four times a second.
        sleep 1
    fi
    # Straight or through Ackline, as the way goes; the other proxies add nothing to the tables.
    [ ${#workloads[@]} = 0 ] || run_sysbench "${way/[be]/a}" read_write prepare >>"$data/log" 2>&1
    settle "$set"
done
if has_way b; then
    cat >"$data/haproxy.cfg" <<END
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen source
    bind 127.0.0.1:$haproxy_port
    server source 127.0.0.1:$(of native .source.port)
END
    haproxy -db -f "$data/haproxy.cfg" >>"$data/log" 2>&1 &
    haproxy_pid=$!
fi
if has_way e; then
    # No TLS is offered by the source, and none asked for by sysbench; what is not said here is default.
    # One that was not unpacked by us knows where its plugins are.
    plugins=$router/usr/lib/mysqlrouter/plugin
    cat >"$data/router.conf" <<END
[DEFAULT]
$([ ! -d "$plugins" ] || echo "plugin_folder = $plugins")
config_folder = $data
data_folder = $data
logging_folder = $data
runtime_folder = $data
max_total_connections = 4000
[logger]
level = warning
[routing:source]
bind_address = 127.0.0.1
bind_port = $router_port
destinations = 127.0.0.1:$(of native .source.port)
routing_strategy = first-available
protocol = classic
connection_sharing = 0
client_ssl_mode = PASSTHROUGH
server_ssl_mode = AS_CLIENT
END
    "$router/bin/mysqlrouter" -c "$data/router.conf" >>"$data/log" 2>&1 &
    router_pid=$!
fi
for listener in ${haproxy_pid:+"$haproxy_port"} ${router_pid:+"$router_port"}; do
    for _ in $(seq 100); do
        ! (: <>"/dev/tcp/127.0.0.1/$listener") 2>/dev/null || continue 2
        sleep 0.1
    done
    echo "bench: nobody listens on port $listener" >&2
    exit 1
done

# Caches and plans are warm before anything counts.
[ ${#workloads[@]} = 0 ] || for way in "${ways[@]}"; do
    run_sysbench "$way" point_select --time=1 run >>"$data/log" 2>&1
done
RANDOM=$((seed % 32768))
for round in $(seq "$rounds"); do
    for workload in "${workloads[@]}"; do
        # Another one begins each round.
        order=()
        start=$((RANDOM % ${#ways[@]}))
        for i in "${!ways[@]}"; do
            order+=("${ways[(start + i) % ${#ways[@]}]}")
        done
        for way in "${order[@]}"; do
            measure "$way" "$workload" "$round"
        done
    done
done

ratio() { # WORKLOAD WAY BASE: of the throughput, if both were measured
    awk -v of="$(median "$1" "$2" 3)" -v to="$(median "$1" "$3" 3)" \
        'BEGIN { if (of && to) printf "%.2f", of / to; else print "–" }'
}

# From the OK to the replica: a line for each round of a way, see deploy/bench/applied.rs.
url() { # WAY SET SERVER: that of its user there
    local set=${set_of[$1]}
    if [ "$2" = replica ]; then
        of "$set" '.replicas[0] | "mysql://\(.user):\(.password)@127.0.0.1:\(.port)/"'
    else
        of "$set" ".app | \"mysql://\(.user):\(.password)@127.0.0.1:$(port_of "$1")/\(.database)\""
    fi
}
if [ -n "$applied" ]; then
    "$applied_bench" "$rounds" "$applied_rows" "$flavor" \
        "a=$(url a source),$(url a replica)" "d=$(url d source),$(url d replica)" | tee "$data/applied.json"
fi

if [ ${#workloads[@]} -gt 0 ]; then
    echo
    echo "| workload | way | tps | p95 ms | ratio to (a) | to (b) | CPU µs/query: proxy | source |"
    echo "|---|---|---:|---:|---:|---:|---:|---:|"
    for workload in "${workloads[@]}"; do
        for way in "${ways[@]}"; do
            proxy_cpu=$([ -n "$(proxy_pid_of "$way")" ] && median "$workload" "$way" 5 || echo "–")
            printf '| %s | %s | %.0f | %s | %s | %s | %s | %s |\n' "$workload" "${title[$way]}" \
                "$(median "$workload" "$way" 3)" "$(median "$workload" "$way" 4)" "$(ratio "$workload" "$way" a)" \
                "$(ratio "$workload" "$way" b)" "$proxy_cpu" "$(median "$workload" "$way" 6)"
        done
    done
fi
# The goal is one of the same run, so it is told with how far the rounds agree.
[ ${#workloads[@]} = 0 ] || echo
for workload in "${workloads[@]}"; do
    [[ $workload == point_select* ]] && has_way b && has_way d || continue
    echo "$workload, (d) to (b) by rounds: $(paste <(column "$workload" d 3) <(column "$workload" b 3) |
        awk '{ printf "%s%.2f", (NR > 1 ? ", " : ""), ($2 ? $1 / $2 : 0) }'); the goal is 0.9"
done
# Where the time of a commit goes.
stages() { # WORKLOAD
    local workload=$1 running
    run_sysbench d "$workload" --time=$((seconds + 1)) --rand-seed="$seed" run >>"$data/log" 2>&1 &
    running=$!
    sleep 0.5
    "$ackline" trace --config "$(of ackline .config)" --seconds $((seconds < 20 ? seconds : 20)) --json |
        jq -r --arg workload "$workload" \
            '.commits as $commits | (.steps + [.whole])[] | "\($workload)\t\($commits)\t\(.name)\t\(.median_us)\t\(.p95_us)"'
    wait "$running"
    settle ackline
}
has_way d && for workload in "${workloads[@]}"; do
    if [[ $workload == insert_* ]]; then stages "$workload"; fi
done >"$data/stages.tsv"
if [ -s "$data/stages.tsv" ]; then
    echo
    echo "Stages of a commit through Ackline, median and 95th percentile in µs (fsync and replica work side by side):"
    echo
    awk -F'\t' '
        !($1 in seen) { seen[$1] = ++columns; name[columns] = $1 " (" $2 " commits)" }
        !($3 in row) { row[$3] = ++rows; step[rows] = $3 }
        { cell[$3, $1] = $4 " / " $5; workload[seen[$1]] = $1 }
        END {
            printf "| stage |"; for (i = 1; i <= columns; i++) printf " %s |", name[i]; print ""
            printf "|---|"; for (i = 1; i <= columns; i++) printf "---:|"; print ""
            for (r = 1; r <= rows; r++) {
                printf "| %s |", step[r]
                for (i = 1; i <= columns; i++) printf " %s |", cell[step[r], workload[i]]
                print ""
            }
        }' "$data/stages.tsv"
fi
if [ -n "$applied" ]; then
    echo
    echo "From the OK until the row is applied at a replica, median / 95th percentile in µs, medians of $rounds rounds of $applied_rows rows:"
    echo
    jq -rs --arg a "${title[a]}" --arg d "${title[d]}" '
        def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end | round;
        def pair(key): "\(map(.[key][0]) | median) / \(map(.[key][1]) | median)";
        def of(way): map(select(.way == way));
        (map(.rows) | first) as $rows
        | "| way | INSERT to OK | OK to applied | INSERT to applied | applied before its OK |",
          "|---|---:|---:|---:|---:|",
          ([["a", $a], ["d", $d]][] as [$way, $title] | of($way)
            | "| \($title) | \(pair("sent_to_ok_us")) | \(pair("ok_to_applied_us")) | \(pair("sent_to_applied_us")) | \(map(.before_ok) | add) of \(length * $rows) |"),
          "",
          "OK to applied, (d) to (a) by rounds: \([of("a"), of("d")] | transpose
            | map(.[1].ok_to_applied_us[0] / ([.[0].ok_to_applied_us[0], 1] | max) * 100 | round / 100 | tostring)
            | join(", ")); the goal is at most 1.3. Half of the shortest round trip (\(map(.round_trip_us) | median) µs) is taken off."
        ' "$data/applied.json"
fi
[ -z "${without_router:-}" ] || echo "$without_router"
