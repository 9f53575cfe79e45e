#!/usr/bin/env bash
# The binlog alone, on this machine:
#
#   append    the store takes transactions and fsyncs them in groups
#   recover   `ackline serve` with a full store, page cache warm, from its start until it answers
#   dump      the flavor's dump tool copies all files (--read-from-remote-server --raw), one reader and eight
#             at a time: from our replication port, and the same transactions from the source
#
# Everything runs on loopback and is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

usage() {
    cat <<END
usage: deploy/bench_binlog.sh [options]
  --rounds N      of each measurement; the table has medians (default 3)
  --append MIB    appended in one measurement (default 512)
  --recover MIB   in the store that is recovered (default 1024)
  --dump MIB      in the binlog that is read (default 256); readers write to --copies
  --flavor F      of the servers of the dump: mariadb (default) or mysql
  --only LIST     of append,recover,dump
  --port P        first of 20 ports (default 13500)
  --dir DIR       where stores and servers lie meanwhile (default: in TMPDIR)
  --copies DIR    where readers write to (default: /dev/shm); eight times --dump has to fit
  --short         small sizes and one round, to see that it works
ACKLINE and BINLOG_BENCH name built programs; without them cargo builds both.
END
}

rounds=3 append=512 recover=1024 dump=256 flavor=mariadb only=append,recover,dump port=13500 dir="" copies=/dev/shm
while [ $# -gt 0 ]; do
    case "$1" in
    --short)
        rounds=1 append=4 recover=16 dump=4
        shift
        continue
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    --rounds | --append | --recover | --dump | --flavor | --only | --port | --dir | --copies) ;;
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
wanted() { [[ ",$only," == *",$1,"* ]]; }

if [ -z "${ACKLINE:-}" ] || [ -z "${BINLOG_BENCH:-}" ]; then
    cargo build --release --bin ackline --example binlog_bench
fi
ackline=$(realpath "${ACKLINE:-target/release/ackline}")
bench=$(realpath "${BINLOG_BENCH:-target/release/examples/binlog_bench}")

data=$(mktemp -d "${dir:-${TMPDIR:-/tmp}}/ackline-bench-binlog.XXXXXX")
copied=$(mktemp -d "$copies/ackline-bench-copies.XXXXXX")
serve_pid=""
cleanup() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$serve_pid" ]; then
        kill "$serve_pid" 2>/dev/null || true
        wait "$serve_pid" 2>/dev/null || true
    fi
    [ ! -d "$data/sandbox" ] || "$ackline" sandbox down --dir "$data/sandbox" >/dev/null || status=1
    rm -rf "$data" "$copied"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

median() { sort -g | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'; }
per_second() { awk -v bytes="$1" -v seconds="$2" 'BEGIN { printf "%.0f", bytes / 1e6 / seconds }'; }

appending() {
    local bytes every said
    printf '\n| appended, bytes of a statement | transactions a flush | events/s | MB/s | fsyncs |\n|---:|---:|---:|---:|---:|\n'
    for bytes in 200 4000; do
        for every in 1 8 64; do
            : >"$data/append.tsv"
            for _ in $(seq "$rounds"); do
                said=$("$bench" append "$data/append" "$append" "$bytes" "$every")
                rm -rf "$data/append"
                sed -E 's/.*: ([0-9]+) events.s, ([0-9.]+) MB.s, ([0-9]+) fsyncs.*/\1\t\2\t\3/' <<<"$said" >>"$data/append.tsv"
            done
            printf '| %s | %s | %s | %s | %s |\n' "$bytes" "$every" "$(cut -f1 "$data/append.tsv" | median)" \
                "$(cut -f2 "$data/append.tsv" | median)" "$(cut -f3 "$data/append.tsv" | median)"
        done
    done
}

# Its source does not answer: what is measured is our own start.
recovering() {
    local began bytes
    "$bench" fill "$data/store" "$recover" 300 >&2
    cat >"$data/config.toml" <<END
[listen]
mysql = "127.0.0.1:$port"
replication = "127.0.0.1:$((port + 1))"
admin = "127.0.0.1:$((port + 2))"
[sync]
mode = "async"
[binlog]
dir = "$data/store"
[replication]
user = "nobody"
password = "nobody"
server_id = 9
[[server]]
name = "nobody"
address = "127.0.0.1:$((port + 3))"
role = "source"
user = "nobody"
password = "nobody"
END
    printf '\n| recovered at start, page cache warm | seconds until it answers |\n|---|---:|\n'
    for _ in $(seq "$rounds"); do
        cat "$data"/store/binlog.0* >/dev/null
        began=$EPOCHREALTIME
        "$ackline" serve --config "$data/config.toml" 2>"$data/serve.log" &
        serve_pid=$!
        until curl -s -o "$data/answer" "http://127.0.0.1:$((port + 2))/healthz"; do
            kill -0 "$serve_pid" 2>/dev/null || {
                tail "$data/serve.log" >&2
                exit 1
            }
            sleep 0.005
        done
        seconds_since "$began" >>"$data/recover.tsv"
        echo >>"$data/recover.tsv"
        # As a crash would.
        kill -9 "$serve_pid"
        wait "$serve_pid" 2>/dev/null || true
        serve_pid=""
    done
    bytes=$(cat "$data"/store/binlog.0* | wc -c)
    printf '| %s MB in %s files | %s |\n' "$((bytes / 1000000))" "$(ls "$data"/store/binlog.0* | wc -l)" \
        "$(median <"$data/recover.tsv")"
    rm -rf "$data/store"
}

of() { jq -r "$1" "$data/sandbox/sandbox.json"; }

# One reader into a folder of its own: copy NUMBER PORT USER PASSWORD FIRST-FILE
copy() {
    mkdir "$copied/$1"
    "${tool[@]}" --host=127.0.0.1 --port="$2" --user="$3" --password="$4" --read-from-remote-server --raw \
        --to-last-log --result-file="$copied/$1/" "$5" 2>>"$data/copies.log"
}

# So many readers at a time: readers HOW-MANY NAME PORT USER PASSWORD FIRST-FILE
readers() {
    local many=$1 name=$2 began seconds bytes pids=() number
    shift 2
    began=$EPOCHREALTIME
    for number in $(seq "$many"); do
        copy "$number" "$@" &
        pids+=($!)
    done
    for number in "${pids[@]}"; do
        wait "$number" || {
            cat "$data/copies.log" >&2
            exit 1
        }
    done
    seconds=$(seconds_since "$began")
    bytes=$(cat "$copied"/*/* | wc -c)
    rm -rf "${copied:?}"/*
    per_second "$bytes" "$seconds" >>"$data/dump-$name-$many.tsv"
    echo >>"$data/dump-$name-$many.tsv"
}

dumping() {
    local programs client row many
    if [ "$flavor" = mysql ]; then
        programs=${MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-9.7}/bin
        tool=("$programs/mysqlbinlog" --no-defaults --ssl-mode=DISABLED --get-server-public-key)
        client=("$programs/mysql")
    else
        tool=(mariadb-binlog --no-defaults)
        client=(mariadb)
    fi
    "$ackline" sandbox up --flavor "$flavor" --replicas 0 --mode async --dir "$data/sandbox" --port "$port" >"$data/up.log" 2>&1 || {
        tail "$data/up.log" >&2
        exit 1
    }
    client+=(--defaults-file="$data/sandbox/source/my.cnf")
    # Statements of half a KiB in transactions of 100, and of 64 KiB: half of the bytes each.
    {
        echo "USE $(of .app.database); CREATE TABLE filling (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT) ENGINE=InnoDB;"
        awk -v mib="$dump" 'BEGIN {
            small = "s"; while (length(small) < 500) small = small small
            large = small; while (length(large) < 65000) large = large large
            for (at = 0; at < mib * 8; at++) {
                print "BEGIN;"
                for (n = 0; n < 100; n++) print "INSERT INTO filling (v) VALUES (\047" small "\047);"
                print "COMMIT;"
                print "INSERT INTO filling (v) VALUES (\047" large "\047);"
            }
        }'
    } | "${client[@]}"
    until [ "$("$ackline" status --json --config "$(of .config)" | jq -r '.binlog.written_position == .binlog.synced_position')" = true ] &&
        [ "$(captured)" = "$(written)" ]; do
        sleep 0.1
    done
    for _ in $(seq "$rounds"); do
        for many in 1 8; do
            readers "$many" ours "$(of .replication.port)" "$(of .replication.user)" "$(of .replication.password)" binlog.000001
            readers "$many" source "$(of .source.port)" "$(of .source.user)" "$(of .source.password)" bin.000001
        done
    done
    printf '\n| dumped, %s, MB/s of all readers together | Ackline | the source itself |\n|---|---:|---:|\n' "$flavor"
    for many in 1 8; do
        row=$([ "$many" = 1 ] && echo "one reader" || echo "$many readers")
        printf '| %s | %s | %s |\n' "$row" "$(median <"$data/dump-ours-$many.tsv")" "$(median <"$data/dump-source-$many.tsv")"
    done
}
captured() { "$ackline" status --json --config "$(of .config)" | jq -r .binlog.gtid; }
written() {
    local variable=gtid_binlog_pos
    [ "$flavor" = mariadb ] || variable=gtid_executed
    "${client[@]}" -NBe "SELECT REPLACE(@@global.$variable, '\n', '')"
}

echo "rounds: $rounds; medians"
if wanted append; then appending; fi
if wanted recover; then recovering; fi
if wanted dump; then dumping; fi
