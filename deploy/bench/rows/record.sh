#!/usr/bin/env bash
# How rows.000001 was recorded: deploy/bench/rows/record.sh writes such a file anew, out of the MySQL of
# `deploy/install.sh mysql`: 100 rows of 18 columns, as a table of an application has them.
. "$(dirname "$0")/../../../tests/golden/recording.sh"
out=$(realpath "$(dirname "$0")")
start_mysql --log-bin=rows
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
