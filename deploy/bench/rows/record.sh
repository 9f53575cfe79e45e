#!/usr/bin/env bash
# How rows.000001 was recorded: deploy/bench/rows/record.sh writes such a file anew, out of the MySQL of
# `deploy/install.sh mysql`: 100 rows of 18 columns, as a table of an application has them.
set -euo pipefail
programs=${MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/ackline/mysql-9.7}/bin
out=$(realpath "$(dirname "$0")")
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$work"' EXIT
server=
user=()
[ "$(id -u)" != 0 ] || user=(--user=root)
options=("${user[@]}" --datadir="$work/data" --secure-file-priv= --mysqlx=OFF)
"$programs/mysqld" --no-defaults "${options[@]}" --initialize-insecure 2>"$work/log"
"$programs/mysqld" --no-defaults "${options[@]}" --socket="$work/sock" --skip-networking --server-id=7 \
    --log-bin=rows --log-error="$work/log" &
server=$!
run() { "$programs/mysql" --no-defaults -uroot --socket="$work/sock" "$@"; }
for _ in $(seq 100); do
    run -e 'SELECT 1' >/dev/null 2>&1 && break
    sleep 0.2
done
run <<'SQL'
CREATE DATABASE b;
USE b;
CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, customer INT UNSIGNED, state ENUM('new','paid','sent'), flags TINYINT,
    items SMALLINT, weight MEDIUMINT, name VARCHAR(80), street VARCHAR(120), city CHAR(30), country CHAR(2), note TEXT,
    total DECIMAL(12,2), rate DOUBLE, day DATE, begins TIME, created DATETIME(6), changed TIMESTAMP, gone VARCHAR(10));
SET cte_max_recursion_depth = 1000;
INSERT INTO orders WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
    SELECT i, i * 7919, 1 + i % 3, i % 100, i, i * 1000, CONCAT('customer ', i), CONCAT(i, ' long street'), 'a city', 'de',
        REPEAT('note ', i % 12), i * 123.45, i / 7, '2026-11-23' - INTERVAL i DAY, SEC_TO_TIME(i * 60),
        '2026-11-23 20:01:02.345678', '2026-11-23 20:01:02', NULL FROM n;
FLUSH BINARY LOGS;
SQL
install -m 644 "$work/data/rows.000001" "$out/rows.000001"
