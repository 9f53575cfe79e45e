#!/usr/bin/env bash
# How the types.* of tests/golden/mariadb-*/ were recorded: tests/golden/mariadb-types.sh FOLDER writes such
# files anew, with the mariadbd on the PATH. They differ by times, so the committed ones stay. types.expected
# is what SELECT says of the tables that the files end with.
. "$(dirname "$0")/recording.sh"
out=$(realpath "${1:?usage: mariadb-types.sh FOLDER}")
echo "4,from a file" >"$work/rows.csv"
mariadb-install-db --no-defaults "${user[@]}" --datadir="$work/data" >/dev/null
mariadbd --no-defaults "${user[@]}" --datadir="$work/data" --socket="$work/sock" --skip-networking \
    --server-id=7 --log-bin=types --binlog-format=ROW --binlog-row-metadata=FULL --secure-file-priv="$work" \
    --default-time-zone=+00:00 --character-set-server=utf8mb4 2>"$work/log" &
server=$!
run() { mariadb --no-defaults --socket="$work/sock" --default-character-set=utf8mb4 "$@"; }
wait_for_it

# 1: everything that there is to know about a column is in the table map.
run <<'SQL'
CREATE DATABASE g;
USE g;
CREATE TABLE numbers (id INT UNSIGNED PRIMARY KEY, t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, su SMALLINT UNSIGNED,
    m MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, l BIGINT, lu BIGINT UNSIGNED, f FLOAT, fu FLOAT UNSIGNED,
    d DOUBLE, n DECIMAL(20,6), n0 DECIMAL(65), n1 DECIMAL(30,30), n2 DECIMAL(5,2) UNSIGNED, y YEAR, b1 BIT(1),
    b13 BIT(13), b64 BIT(64), bo BOOL);
INSERT INTO numbers VALUES
    (4294967295, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,
        18446744073709551615, 1.5, 0.1, -2.25, -12345678901234.567891,
        -99999999999999999999999999999999999999999999999999999999999999999, 0.000000000000000000000000000001, 999.99,
        2026, 1, b'1010101010101', 0xfedcba9876543210, TRUE),
    (2, 127, 0, 32767, 0, 8388607, 0, 2147483647, 0, 9223372036854775807, 0, -3.4e38, 1e-38, 1.7976931348623157e308,
        0, 1000000000, -0.999999999, 0, 1901, 0, 1, 1, FALSE),
    (3, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, 123456.7, 16777216, 2.2250738585072014e-308, -0.000001, -1, -1e-30, 0.01,
        2155, 1, 8191, 0, 2);
INSERT INTO numbers (id) VALUES (5);

CREATE TABLE times (id INT PRIMARY KEY, d DATE, t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t4 TIME(4), t5 TIME(5),
    t6 TIME(6), d0 DATETIME, d1 DATETIME(1), d2 DATETIME(2), d3 DATETIME(3), d4 DATETIME(4), d5 DATETIME(5),
    d6 DATETIME(6), s0 TIMESTAMP NULL, s1 TIMESTAMP(1) NULL, s2 TIMESTAMP(2) NULL, s3 TIMESTAMP(3) NULL,
    s4 TIMESTAMP(4) NULL, s5 TIMESTAMP(5) NULL, s6 TIMESTAMP(6) NULL);
SET @n = '-838:59:58.999999', @d = '2026-11-23 20:01:02.987654';
INSERT INTO times VALUES (1, '2026-11-23', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-00:00:00.1', @d = '1970-01-01 00:00:01.1';
INSERT INTO times VALUES (2, '1000-01-01', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-00:00:00.01', @d = '2038-01-19 03:14:06.01';
INSERT INTO times VALUES (3, '9999-12-31', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-12:34:56.000001', @d = '9999-12-31 23:59:59.000001', @s = '2000-02-29 12:00:00.000001';
INSERT INTO times VALUES (4, '2000-02-29', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @s, @s, @s, @s, @s, @s, @s);
SET @n = '837:59:59.5', @z = '0000-00-00 00:00:00', sql_mode = '';
INSERT INTO times VALUES (5, '2026-00-00', @n, @n, @n, @n, @n, @n, @n, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z);
INSERT INTO times (id) VALUES (6);
SET sql_mode = DEFAULT;

CREATE TABLE texts (id INT PRIMARY KEY, c CHAR(10), cl CHAR(255) CHARACTER SET utf8mb4, c8 CHAR(20) CHARACTER SET latin1,
    c3 CHAR(90) CHARACTER SET utf8mb3, cu CHAR(20) CHARACTER SET utf16, cg VARCHAR(20) CHARACTER SET gbk,
    ca VARCHAR(20) CHARACTER SET ascii, v VARCHAR(20), vl VARCHAR(300) CHARACTER SET latin1, b BINARY(8), vb VARBINARY(20),
    vbl VARBINARY(300), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bb BLOB, mb MEDIUMBLOB,
    lb LONGBLOB, e ENUM('a','grün','c''d'), st SET('x','y','z'), s9 SET('1','2','3','4','5','6','7','8','9'),
    vc VARCHAR(300) COMPRESSED, vs VARCHAR(20) COMPRESSED CHARACTER SET latin1, bc BLOB COMPRESSED, tc TEXT COMPRESSED,
    j JSON)
    CHARACTER SET utf8mb4;
INSERT INTO texts VALUES
    (1, 'grün', 'grün 🐟', 'grün', 'grün', 'grün 🐟', '中文', 'plain', 'it''s \\ 🐟\0\n', REPEAT('v', 300), x'0001ff00',
        x'00ff0a', REPEAT('w', 300), 'tiny', 'text', 'medium', 'long', x'00', x'ff', x'00ff', x'0a00', 'grün', 'x,z', '1,9',
        REPEAT('v', 300), 'short', REPEAT('w', 300), REPEAT('grün ', 50), '{"a":1, "b" : [null]}'),
    (2, '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', 'a', '', '', '', '', '', '', '[]');
INSERT INTO texts (id) VALUES (3);

CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT, l LINESTRING, po POLYGON, mp MULTIPOINT,
    ml MULTILINESTRING, mpo MULTIPOLYGON, gc GEOMETRYCOLLECTION);
INSERT INTO shapes VALUES (1, POINT(1, 2), ST_GeomFromText('POINT(48.1 11.5)', 4326), ST_GeomFromText('LINESTRING(0 0,1 1)'),
    ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 0))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'),
    ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,4 0,4 4,0 0)))'),
    ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'));
INSERT INTO shapes (id) VALUES (2);

CREATE TABLE addresses (id INT PRIMARY KEY, u UUID, i6 INET6, i4 INET4);
INSERT INTO addresses VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', '10.0.0.1'),
    (2, 'ffffffff-ffff-ffff-ffff-ffffffffff00', '2001:db8::', '10.0.0.0'),
    (3, '00000000-0000-0000-0000-000000000000', '::', '0.0.0.0'), (4, NULL, NULL, NULL);

-- Which columns an image has.
CREATE TABLE images (id INT PRIMARY KEY, a INT, b VARCHAR(20), c TEXT, d INT DEFAULT 7, j JSON);
INSERT INTO images VALUES (1, 1, 'b', 'c', 7, '[1]'), (2, 2, 'bb', 'cc', 8, '[2]'), (3, 3, 'bbb', 'ccc', 9, NULL);
UPDATE images SET a = a + 10, c = NULL WHERE id = 1;
SET binlog_row_image = MINIMAL;
INSERT INTO images (id, a) VALUES (4, -4);
UPDATE images SET b = 'minimal', d = NULL WHERE id = 2;
DELETE FROM images WHERE id = 3;
SET binlog_row_image = NOBLOB;
UPDATE images SET a = a + 100;
SET binlog_row_image = FULL;

CREATE TABLE hidden (id INT PRIMARY KEY, h INT INVISIBLE DEFAULT 7, s INT AS (id + 1) STORED, v INT AS (id * 2) VIRTUAL);
INSERT INTO hidden (id) VALUES (1);
INSERT INTO hidden (id, h) VALUES (2, 3);
UPDATE hidden SET h = 4 WHERE id = 1;
CREATE TABLE prefixed (a VARCHAR(40), b INT, c INT, PRIMARY KEY (a(10), b)) CHARACTER SET latin1;
INSERT INTO prefixed VALUES ('prefix', 1, 2);
CREATE TABLE versioned (id INT PRIMARY KEY, a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
    e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(s, e)) WITH SYSTEM VERSIONING;
INSERT INTO versioned (id, a) VALUES (1, 1);

-- The formats before MySQL 5.6.
SET GLOBAL mysql56_temporal_format = 0;
CREATE TABLE old (id INT PRIMARY KEY, t TIME, d DATETIME, ts TIMESTAMP);
INSERT INTO old VALUES (1, '-12:34:56', '2026-11-23 20:01:02', '2026-11-23 20:01:02');
UPDATE old SET t = '23:00:01';
SET GLOBAL mysql56_temporal_format = 1;
SET GLOBAL binlog_row_metadata = NO_LOG;
FLUSH BINARY LOGS;
SQL

# 2: table maps as they are by default, compressed rows, and what is no row.
run g <<SQL
CREATE TABLE by_default (id INT PRIMARY KEY, t TINYINT, y YEAR, c CHAR(10), b VARBINARY(10),
    e ENUM('a','b') CHARACTER SET latin1, tx TEXT CHARACTER SET latin1, j JSON, d DECIMAL(4,2));
INSERT INTO by_default VALUES (-1, 127, 2026, 'c', x'00', 'b', 'text', '{"a": [1]}', -1.5);
UPDATE by_default SET t = 126, d = NULL;
SET GLOBAL log_bin_compress = 1;
SET GLOBAL log_bin_compress_min_len = 10;
CREATE TABLE packed (id INT PRIMARY KEY, w LONGTEXT, d DATETIME);
INSERT INTO packed VALUES (1, REPEAT('z', 1000), NULL), (2, 'y', '1:2:3'), (3, NULL, '2000-01-01');
UPDATE packed SET w = CONCAT(w, REPEAT('q', 500)), d = '2026-11-23';
DELETE FROM packed WHERE id = 2;
CREATE TABLE words (id INT PRIMARY KEY AUTO_INCREMENT, w VARCHAR(40));
SET binlog_format = STATEMENT;
INSERT INTO words (w) VALUES ('counted');
INSERT INTO words (w) VALUES (RAND());
SET @word = 'a variable';
INSERT INTO words (w) VALUES (@word);
LOAD DATA INFILE '$work/rows.csv' INTO TABLE words FIELDS TERMINATED BY ',';
DELETE FROM words;
SET binlog_format = ROW;
XA START 'x';
INSERT INTO words VALUES (5, 'xa');
XA END 'x';
XA PREPARE 'x';
XA COMMIT 'x';
FLUSH BINARY LOGS;
SQL

# 3: what there is since 10.11, with everything about a column again, and the server's end.
files=(types.000001 types.000002)
if [[ $(mariadbd --version) =~ \ Ver\ 1[1-9]\. ]]; then
    files+=(types.000003)
    run g <<'SQL'
SET GLOBAL log_bin_compress = 0;
SET GLOBAL binlog_row_metadata = FULL;
CREATE TABLE vectors (id INT PRIMARY KEY, v1 VECTOR(1), v3 VECTOR(3) NOT NULL, v300 VECTOR(300), VECTOR INDEX (v3));
SET @long = CONCAT('[', TRIM(TRAILING ',' FROM REPEAT('0.5,', 300)), ']');
INSERT INTO vectors VALUES (1, VEC_FromText('[1]'), VEC_FromText('[1,-2.5,1e-3]'), VEC_FromText(@long)),
    (2, NULL, VEC_FromText('[0,0,1]'), NULL);
UPDATE vectors SET v3 = VEC_FromText('[1e15,-1e-38,0]'), v1 = NULL WHERE id = 1;
CREATE TABLE collations (id INT PRIMARY KEY, a CHAR(10) COLLATE utf8mb4_uca1400_ai_ci, b VARCHAR(100) COLLATE utf8mb4_uca1400_swedish_as_cs,
    c TEXT CHARACTER SET utf8mb3 COLLATE utf8mb3_uca1400_nopad_ai_ci, d VARCHAR(20) CHARACTER SET utf16 COLLATE utf16_uca1400_ai_ci,
    e ENUM('ä','b') COLLATE utf8mb4_uca1400_german2_as_ci, s SET('x','ö') COLLATE utf8mb4_uca1400_ai_ci) COLLATE utf8mb4_uca1400_danish_ai_ci;
INSERT INTO collations VALUES (1, 'grün 🐟', 'Åse', 'text', 'utf16 🐟', 'ä', 'x,ö'), (2, '', '', '', '', 'b', '');
CREATE TABLE late (id INT PRIMARY KEY, s TIMESTAMP NULL, s6 TIMESTAMP(6) NULL);
INSERT INTO late VALUES (1, '2038-01-19 03:14:08', '2106-02-07 06:28:15.999999'), (2, NULL, '2040-02-29 12:00:00.5');
CREATE TABLE made (id UUID PRIMARY KEY, a UUID);
INSERT INTO made VALUES ('019307e8-0e5c-7e6f-8b1d-9a0b3c4d5e6f', UUID_v4()), ('123e4567-e89b-42d3-a456-426655440000', UUID_v7());
SET binlog_alter_two_phase = 1;
ALTER TABLE late ADD INDEX (s), ALGORITHM=COPY;
SET binlog_alter_two_phase = 0;
SET SESSION character_set_collations = 'utf8mb4=uca1400_german2_ai_ci';
SET binlog_format = STATEMENT;
CREATE TABLE said (id INT PRIMARY KEY, w VARCHAR(20));
INSERT INTO said VALUES (1, 'statement');
DELETE FROM said;
SET binlog_format = ROW;
SQL
fi

# As a row holds them: characters and binary strings in hex, ENUM, SET and BIT by number, FLOAT in full; of
# what is long, a digest.
columns="CASE WHEN data_type = 'longtext' AND table_name = 'packed'
    THEN CONCAT('IF(LENGTH(\`',column_name,'\`) > 2000, SHA2(\`',column_name,'\`, 256), HEX(\`',column_name,'\`))')
    WHEN data_type IN ('enum','set','bit') THEN CONCAT('\`',column_name,'\`+0')
    WHEN data_type = 'float' THEN CONCAT('\`',column_name,'\`+0e0')
    WHEN data_type = 'inet4' THEN CONCAT('HEX(CAST(\`',column_name,'\` AS BINARY(4)))')
    WHEN data_type REGEXP 'uuid|inet' THEN CONCAT('HEX(CAST(\`',column_name,'\` AS BINARY(16)))')
    WHEN data_type REGEXP 'char|text|binary|blob|vector|geom|point|line|polygon' THEN CONCAT('HEX(\`',column_name,'\`)')
    ELSE CONCAT('\`',column_name,'\`') END"
tables_of_g "$columns" >"$work/expected"
kill "$server"
wait "$server" || true
for file in "${files[@]}"; do
    install -m 644 "$work/data/$file" "$out/$file"
done
install -m 644 "$work/expected" "$out/types.expected"
