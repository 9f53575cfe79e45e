#!/usr/bin/env bash
# How tests/golden/mariadb-10.11/types.000001 was recorded: tests/golden/mariadb-10.11-types.sh FOLDER
# writes such a file anew, with the mariadbd that is installed. It differs by times, so the committed one
# stays.
set -euo pipefail
out=$(realpath "${1:?usage: mariadb-10.11-types.sh FOLDER}")
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$work"' EXIT
server=
user=()
[ "$(id -u)" != 0 ] || user=(--user=root)
mariadb-install-db --no-defaults "${user[@]}" --datadir="$work/data" >/dev/null
mariadbd --no-defaults "${user[@]}" --datadir="$work/data" --socket="$work/sock" --skip-networking \
    --server-id=7 --log-bin=golden --binlog-format=ROW --binlog-row-metadata=FULL \
    --character-set-server=utf8mb4 2>"$work/log" &
server=$!
run() { mariadb --no-defaults --socket="$work/sock" "$@"; }
for _ in $(seq 100); do
    run -e 'SELECT 1' >/dev/null 2>&1 && break
    sleep 0.2
done
run <<'SQL'
CREATE DATABASE g; USE g;
CREATE TABLE types (id INT UNSIGNED PRIMARY KEY, t TINYINT, s SMALLINT UNSIGNED, m MEDIUMINT, l BIGINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(20,6), y YEAR, dt DATE, ti TIME(3), dtm DATETIME(6), ts TIMESTAMP(1) NULL, b BIT(13), e ENUM('a','b'), st SET('x','y','z'), c CHAR(90) CHARACTER SET utf8mb4, vb VARBINARY(20), tx TEXT, lb LONGBLOB, g POINT, u UUID, i6 INET6, i4 INET4, vc VARCHAR(300) COMPRESSED, bc BLOB COMPRESSED, j JSON, h INT INVISIBLE DEFAULT 7, gen INT AS (t + 1) STORED);
INSERT INTO types VALUES (4294967295,-128,65535,-8388608,18446744073709551615,1.5,-2.25,-12345678901234.567891,2026,'2026-11-23','-838:59:58.999','9999-12-31 23:59:59.123456','2026-11-23 20:00:00.5',b'1010101010101','b','x,z','grün','\0\1','text',REPEAT('q',300),POINT(1,2),'123e4567-e89b-12d3-a456-426655440000','2001:db8::1','10.0.0.1',REPEAT('v',300),REPEAT('w',300),'{"a":1}',DEFAULT);
INSERT INTO types (id) VALUES (2);
UPDATE types SET ti = '-00:00:00.001', n = 0.000001, dtm = '0001-01-01 00:00:00' WHERE id = 2;
DELETE FROM types WHERE id = 2;
SET GLOBAL mysql56_temporal_format = 0;
CREATE TABLE old (id INT PRIMARY KEY, t TIME, d DATETIME, ts TIMESTAMP);
INSERT INTO old VALUES (1,'-12:34:56','2026-11-23 20:01:02','2026-11-23 20:01:02');
UPDATE old SET t = '23:00:01';
SET GLOBAL log_bin_compress = 1; SET GLOBAL log_bin_compress_min_len = 10;
INSERT INTO old VALUES (2,'1:2:3','2000-01-01','2000-01-01'),(3,'1:2:3','2000-01-01','2000-01-01');
DELETE FROM old;
FLUSH BINARY LOGS;
SQL
cp "$work/data/golden.000001" "$out/types.000001"
