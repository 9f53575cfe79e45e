#!/usr/bin/env bash
# How tests/golden/mysql-9.7/ was recorded: tests/golden/mysql-9.7.sh FOLDER writes such files anew, out
# of the MySQL of `deploy/install.sh mysql`. They differ by uuid and times, so the committed ones stay.
. "$(dirname "$0")/recording.sh"
out=$(realpath "${1:?usage: mysql-9.7.sh FOLDER}")
echo "4,from a file" >"$work/rows.csv"
start_mysql --log-bin=golden --gtid-mode=ON --enforce-gtid-consistency=ON --binlog-format=MIXED

run <<SQL
CREATE DATABASE g;
USE g;
CREATE TABLE small (id INT PRIMARY KEY AUTO_INCREMENT, words VARCHAR(40));
CREATE TABLE isam (id INT PRIMARY KEY) ENGINE=MyISAM;
INSERT INTO small (words) VALUES ('a statement');
SET binlog_format = ROW;
SET binlog_rows_query_log_events = ON;
INSERT INTO small (words) VALUES ('a row');
BEGIN;
UPDATE small SET words = 'changed' WHERE id = 1;
SAVEPOINT s;
DELETE FROM small WHERE id = 2;
ROLLBACK TO SAVEPOINT s;
COMMIT;
INSERT INTO isam VALUES (1);
SET binlog_format = STATEMENT;
LOAD DATA INFILE '$work/rows.csv' INTO TABLE small FIELDS TERMINATED BY ',';
SET binlog_format = ROW;
CREATE TABLE copied AS SELECT * FROM small;
TRUNCATE TABLE isam;
XA START 'x';
INSERT INTO small (words) VALUES ('xa');
XA END 'x';
XA PREPARE 'x';
XA COMMIT 'x';
XA START 'y';
INSERT INTO small (words) VALUES ('xa at once');
XA END 'y';
XA COMMIT 'y' ONE PHASE;
XA START 'z';
INSERT INTO small (words) VALUES ('xa back');
XA END 'z';
XA PREPARE 'z';
XA ROLLBACK 'z';
FLUSH BINARY LOGS;
SET gtid_next = 'AUTOMATIC:golden';
INSERT INTO small (words) VALUES ('tagged');
SET gtid_next = 'AUTOMATIC:backup_1';
CREATE TABLE tagged (id INT PRIMARY KEY);
SET gtid_next = 'aaaaaaaa-bbbb-cccc-dddd-ffffffffffff:far:9223372036854775806';
INSERT INTO tagged VALUES (1);
SET gtid_next = 'aaaaaaaa-bbbb-cccc-dddd-ffffffffffff:70000';
BEGIN;
COMMIT;
SET gtid_next = AUTOMATIC;
SET binlog_transaction_compression = ON;
INSERT INTO small (words) VALUES (REPEAT('z', 40)), (REPEAT('z', 40));
SET gtid_next = 'AUTOMATIC:golden';
INSERT INTO small (words) VALUES ('tagged and compressed');
FLUSH BINARY LOGS;
SQL
kill "$server"
wait "$server" || true
cp golden.000001 "$out/plain.000001"
cp golden.000002 "$out/tagged.000002"
cp golden.000003 "$out/stopped.000003"
