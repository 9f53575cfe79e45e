#!/usr/bin/env bash
# How the types.* of tests/golden/mysql-9.7/ were recorded: tests/golden/mysql-9.7-types.sh FOLDER writes such
# files anew, out of the MySQL of `deploy/install.sh mysql`. They differ by uuid and times, so the committed
# ones stay. types.expected is what SELECT says of the tables that the files end with.
. "$(dirname "$0")/recording.sh"
out=$(realpath "${1:?usage: mysql-9.7-types.sh FOLDER}")
echo "4,from a file" >"$work/rows.csv"
client=(--default-character-set=utf8mb4)
start_mysql --log-bin=types --gtid-mode=ON --enforce-gtid-consistency=ON --binlog-format=ROW \
    --binlog-row-metadata=FULL --default-time-zone=+00:00

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
    (3, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, 123456.7, 16777216, 4.9406564584124654e-324, -0.000001, -1, -1e-30, 0.01,
        2155, 1, 8191, 0, 2),
    (4, 0, 128, 0, 32768, 0, 8388608, 0, 2147483648, 0, 9223372036854775808, 0, 3, 0.1, 123456789.123456,
        123456789012345678901234567890, 0.123456789012345678901234567891, 100, 0000, 0, 0, 255, 0);
INSERT INTO numbers (id) VALUES (5);

CREATE TABLE times (id INT PRIMARY KEY, d DATE, t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t4 TIME(4), t5 TIME(5),
    t6 TIME(6), d0 DATETIME, d1 DATETIME(1), d2 DATETIME(2), d3 DATETIME(3), d4 DATETIME(4), d5 DATETIME(5),
    d6 DATETIME(6), s0 TIMESTAMP NULL, s1 TIMESTAMP(1) NULL, s2 TIMESTAMP(2) NULL, s3 TIMESTAMP(3) NULL,
    s4 TIMESTAMP(4) NULL, s5 TIMESTAMP(5) NULL, s6 TIMESTAMP(6) NULL);
SET @n = '-838:59:58.999999', @d = '2026-11-23 20:01:02.987654', @z = '0000-00-00 00:00:00';
INSERT INTO times VALUES (1, '2026-11-23', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-00:00:00.1', @d = '1970-01-01 00:00:01.1';
INSERT INTO times VALUES (2, '1000-01-01', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-00:00:00.01', @d = '2038-01-19 03:14:06.01';
INSERT INTO times VALUES (3, '9999-12-31', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d, @d);
SET @n = '-12:34:56.000001', @d = '9999-12-31 23:59:59.000001', @s = '2000-02-29 12:00:00.000001';
INSERT INTO times VALUES (4, '2000-02-29', @n, @n, @n, @n, @n, @n, @n, @d, @d, @d, @d, @d, @d, @d, @s, @s, @s, @s, @s, @s, @s);
SET @n = '837:59:59.5', sql_mode = '';
INSERT INTO times VALUES (5, '2026-00-00', @n, @n, @n, @n, @n, @n, @n, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z, @z);
INSERT INTO times (id) VALUES (6);
SET sql_mode = DEFAULT;

CREATE TABLE texts (id INT PRIMARY KEY, c CHAR(10), cl CHAR(255) CHARACTER SET utf8mb4, c8 CHAR(20) CHARACTER SET latin1,
    c3 CHAR(90) CHARACTER SET utf8mb3, cu CHAR(20) CHARACTER SET utf16, cg VARCHAR(20) CHARACTER SET gbk,
    ca VARCHAR(20) CHARACTER SET ascii, v VARCHAR(20), vl VARCHAR(300) CHARACTER SET latin1, b BINARY(8), vb VARBINARY(20),
    vbl VARBINARY(300), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bb BLOB, mb MEDIUMBLOB,
    lb LONGBLOB, e ENUM('a','grün','c''d'), st SET('x','y','z'), s9 SET('1','2','3','4','5','6','7','8','9'))
    CHARACTER SET utf8mb4;
INSERT INTO texts VALUES
    (1, 'grün', 'grün 🐟', 'grün', 'grün', 'grün 🐟', '中文', 'plain', 'it''s \\ 🐟\0\n', REPEAT('v', 300), x'0001ff00',
        x'00ff0a', REPEAT('w', 300), 'tiny', 'text', 'medium', 'long', x'00', x'ff', x'00ff', x'0a00', 'grün', 'x,z', '1,9'),
    (2, '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', 'a', '', '');
INSERT INTO texts (id) VALUES (3);

CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT SRID 4326, l LINESTRING, po POLYGON, mp MULTIPOINT,
    ml MULTILINESTRING, mpo MULTIPOLYGON, gc GEOMETRYCOLLECTION, v VECTOR, v3 VECTOR(3));
INSERT INTO shapes VALUES (1, POINT(1, 2), ST_GeomFromText('POINT(48.1 11.5)', 4326), ST_GeomFromText('LINESTRING(0 0,1 1)'),
    ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 0))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'),
    ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'), ST_GeomFromText('MULTIPOLYGON(((0 0,4 0,4 4,0 0)))'),
    ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'), TO_VECTOR('[1,-2.5,1e-3]'), TO_VECTOR('[0,0,1]'));
INSERT INTO shapes (id) VALUES (2);

CREATE TABLE documents (id INT PRIMARY KEY, j JSON, k JSON);
INSERT INTO documents VALUES
    (1, '{}', '[]'), (2, 'null', 'true'), (3, 'false', '"text"'), (4, '-32768', '32767'), (5, '32768', '65535'),
    (6, '-2147483648', '2147483647'), (7, '4294967295', '9223372036854775807'),
    (8, '-9223372036854775808', '18446744073709551615'), (9, '1e0', '-0.0'), (10, '0.1', '1.7976931348623157e308'),
    (11, '5e-324', '1e14'), (12, '1e15', '1e16'), (13, '123456789012345.6', '1234567890123456.7'),
    (14, '1e-14', '1e-15'), (15, '1e-16', '1.5e-20'), (16, '1e100', '-1.25e-100'), (17, '123456789012345678', '0.30000000000000004'),
    (18, CAST(1.50 AS JSON), CAST(CAST(-12345678901234567890.123456789 AS DECIMAL(40,9)) AS JSON)),
    (19, CAST(CAST('2026-11-23' AS DATE) AS JSON), CAST(CAST('2026-11-23 20:01:02.5' AS DATETIME(6)) AS JSON)),
    (20, CAST(CAST('-12:34:56.789' AS TIME(3)) AS JSON), CAST(CAST('838:59:59' AS TIME) AS JSON)),
    (21, CAST(x'00ff0a' AS JSON), CAST(b'101' AS JSON)),
    (22, CAST(ST_GeomFromText('POINT(1 2)') AS JSON), JSON_ARRAY(CAST(2026 AS YEAR), TRUE, NULL, 1.5, 1e0, 'x')),
    (23, '{"a": 1, "bb": [1, 2, {"c": null}], "": "", "longer": {"x": {"y": {"z": []}}}}', '[[], {}, [[[]]], -1, 65536, 1.25, "s"]'),
    (24, JSON_QUOTE('q" b\\ t\t n\n r\r /'), '["grün 🐟", "\\u0001", "\\u007f", "\\u001f\\u0080"]'),
    (25, JSON_QUOTE(REPEAT('l', 127)), JSON_ARRAY(REPEAT('m', 128), REPEAT('n', 300))),
    (26, JSON_OBJECT('d', CAST('2026-11-23' AS DATE), 'n', 12.340, 'b', x'01', REPEAT('k', 200), 1, 'grün', 2, 'a"b', 3), NULL),
    (27, '[9223372036854775808, -1e-7, 1e21, 100000000000000000000, 2.5e15]', '[12345678.9, 1e-5, 0.00001234, 5e-15, 12e14, 999999999999999.9]'),
    (28, '[9007199254740992e0, 12345678901234568e0, 123456789012345680e0, 1234567890123450e0, -12345678901234567e0]',
        '[1.2345678901234567e-15, -1.2345678901234567e-14, 1.2345678901234567e-16, 123456789012345e1, 1e17]'),
    (29, CAST(REPEAT(x'ab', 100) AS JSON), CAST(CAST('2026-11-23 20:01:02.5' AS DATETIME(1)) AS JSON));

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
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE keyless (a INT, b VARCHAR(10));
INSERT INTO keyless VALUES (1, 'x'), (2, 'y');
UPDATE keyless SET b = 'z' WHERE a = 2;
SET binlog_rows_query_log_events = ON;
DELETE FROM keyless WHERE a = 1;
CREATE TABLE prefixed (a VARCHAR(40), b INT, c INT, PRIMARY KEY (a(10), b)) CHARACTER SET latin1;
INSERT INTO prefixed VALUES ('prefix', 1, 2);
SET binlog_rows_query_log_events = OFF;

CREATE TABLE partial (id INT PRIMARY KEY, j JSON, t VARCHAR(10), k JSON, n JSON);
SET @long = REPEAT('w', 120);
INSERT INTO partial VALUES
    (1, JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2, 3), 'pad', @long), 'x', JSON_ARRAY(1, @long, JSON_OBJECT('deep', JSON_ARRAY(1))), NULL),
    (2, JSON_OBJECT('a b', 1, 'grün', 2, 'pad', @long), 'y', JSON_ARRAY(@long, @long), '1'),
    (3, JSON_ARRAY(@long, 1), 'z', NULL, '{"n": 1}'),
    (4, JSON_OBJECT('s', 1, 'pad', @long), 'w', NULL, '{"n": 1}');
SET binlog_row_value_options = PARTIAL_JSON;
UPDATE partial SET j = JSON_SET(j, '$.a', 2, '$.c', 'new', '$.b[1]', JSON_OBJECT('in', NULL)) WHERE id = 1;
UPDATE partial SET j = JSON_REMOVE(j, '$.b[0]'), k = JSON_SET(k, '$[2].deep[5]', 1.5, '$[9]', 'end') WHERE id = 1;
UPDATE partial SET j = JSON_REPLACE(j, '$."a b"', CAST('2026-11-23' AS DATE), '$."grün"', 'ü'), t = 'yy' WHERE id = 2;
UPDATE partial SET k = JSON_REMOVE(k, '$[0]'), j = JSON_SET(j, '$."q\\"t"', 3, '$."new key"', JSON_ARRAY()) WHERE id = 2;
UPDATE partial SET j = JSON_SET(j, '$[1]', TRUE), n = NULL WHERE id = 3;
UPDATE partial SET j = JSON_SET(j, '$.s[1]', 2) WHERE id = 4;
SET binlog_row_image = MINIMAL;
UPDATE partial SET j = JSON_SET(j, '$.a', 9000000000) WHERE id = 1;
UPDATE partial SET t = 'last', k = '[]' WHERE id = 3;
UPDATE partial SET j = JSON_REMOVE(j, '$.pad') WHERE id IN (1, 2, 4);
SET binlog_row_image = FULL;
SET binlog_row_value_options = DEFAULT;

-- What is no row.
CREATE TABLE words (id INT PRIMARY KEY AUTO_INCREMENT, w VARCHAR(40));
SET binlog_format = STATEMENT;
INSERT INTO words (w) VALUES ('counted');
INSERT INTO words (w) VALUES (RAND());
SET @word = 'a variable';
INSERT INTO words (w) VALUES (@word);
SQL
run g <<SQL
SET binlog_format = STATEMENT;
LOAD DATA INFILE '$work/rows.csv' INTO TABLE words FIELDS TERMINATED BY ',';
DELETE FROM words;
SET binlog_format = ROW;
XA START 'x';
INSERT INTO words VALUES (5, 'xa');
XA END 'x';
XA PREPARE 'x';
XA COMMIT 'x';
SET gtid_next = 'AUTOMATIC:golden';
INSERT INTO words VALUES (6, 'tagged');
SET gtid_next = AUTOMATIC;
SET GLOBAL binlog_row_metadata = MINIMAL;
FLUSH BINARY LOGS;
SQL

# 2: table maps as they are by default.
run g <<'SQL'
CREATE TABLE by_default (id INT PRIMARY KEY, t TINYINT UNSIGNED, y YEAR, l BIGINT UNSIGNED, c CHAR(10), b VARBINARY(10),
    e ENUM('a','b') CHARACTER SET latin1, tx TEXT CHARACTER SET latin1, j JSON, d DECIMAL(4,2));
INSERT INTO by_default VALUES (-1, 255, 2026, 18446744073709551615, 'c', x'00', 'b', 'text', '{"a": [1]}', -1.5);
UPDATE by_default SET t = 254, d = NULL;
FLUSH BINARY LOGS;
SQL

# 3: whole transactions compressed.
run g <<'SQL'
CREATE TABLE packed (id INT PRIMARY KEY, w LONGTEXT, j JSON);
SET binlog_transaction_compression = ON;
INSERT INTO packed VALUES (1, REPEAT('z', 1000), NULL), (2, 'y', '[1, 2]');
BEGIN;
UPDATE packed SET w = 'x' WHERE id = 1;
DELETE FROM packed WHERE id = 2;
-- Offsets of four bytes in the document.
INSERT INTO packed VALUES (3, NULL, JSON_OBJECT('large', JSON_ARRAY(REPEAT('q', 70000), 70000, -70000, 1, TRUE), 's', 's'));
COMMIT;
SET binlog_row_value_options = PARTIAL_JSON;
UPDATE packed SET j = JSON_SET(j, '$.large[1]', 'partial') WHERE id = 3;
SET binlog_transaction_compression_level_zstd = 22;
INSERT INTO packed VALUES (4, REPEAT('level 22 ', 50), '{}');
SET GLOBAL gtid_mode = ON_PERMISSIVE;
SET GLOBAL gtid_mode = OFF_PERMISSIVE;
SQL

# 6: no GTIDs, no checksums.
run g <<'SQL'
SET GLOBAL binlog_checksum = NONE;
CREATE TABLE anonymous (id INT PRIMARY KEY, w VARCHAR(10));
INSERT INTO anonymous VALUES (1, 'nobody');
SQL

# As a row holds them: characters and binary strings in hex, ENUM, SET and BIT by number, FLOAT in full; of
# what is long, a digest.
columns="CASE WHEN data_type IN ('longtext','json') AND table_name = 'packed'
    THEN CONCAT('IF(LENGTH(\`',column_name,'\`) > 2000, SHA2(\`',column_name,'\`, 256), ',
        IF(data_type = 'json', '', 'HEX'), '(\`',column_name,'\`))')
    WHEN data_type IN ('enum','set','bit') THEN CONCAT('\`',column_name,'\`+0')
    WHEN data_type = 'float' THEN CONCAT('\`',column_name,'\`+0e0')
    WHEN data_type REGEXP 'char|text|binary|blob|vector|geom|point|line|polygon' THEN CONCAT('HEX(\`',column_name,'\`)')
    ELSE CONCAT('\`',column_name,'\`') END"
tables_of_g "$columns" >"$work/expected"

kill "$server"
wait "$server" || true
# Two more hold nothing but the change to no GTIDs.
for file in types.00000[1236]; do
    install -m 644 "$file" "$out/$file"
done
install -m 644 "$work/expected" "$out/types.expected"
