-- What only MySQL has.

CREATE TABLE own (id INT PRIMARY KEY AUTO_INCREMENT, j JSON, e VECTOR(3), hidden INT DEFAULT 3 INVISIBLE, p POINT SRID 4326, n INT DEFAULT (7 * 6), CHECK (n > 3)) ENGINE=InnoDB;
INSERT INTO own (j, e, p) VALUES ('{"a": {"b": [1, 2, 3]}, "long": "0123456789012345678901234567890123456789012345678901234567890123456789"}', TO_VECTOR('[1, 2.5, -3]'), ST_GeomFromText('POINT(48 11)', 4326));
SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
UPDATE own SET j = JSON_SET(j, '$.a.b[1]', 20, '$.a.c', 'new');
UPDATE own SET j = JSON_REMOVE(JSON_REPLACE(j, '$.long', 'short'), '$.a.b[0]');
SET SESSION binlog_row_value_options = '';
SET SESSION sql_generate_invisible_primary_key = ON;
CREATE TABLE keyless (v VARCHAR(20)) ENGINE=InnoDB;
INSERT INTO keyless VALUES ('a'), ('b');
DELETE FROM keyless WHERE v = 'a';
SET SESSION sql_generate_invisible_primary_key = OFF;
CREATE TABLE from_select (PRIMARY KEY (id)) ENGINE=InnoDB SELECT id, v FROM copy WHERE id < 20 ORDER BY id;
ALTER TABLE from_select ADD COLUMN added INT DEFAULT 9, ALGORITHM=INSTANT;
INSERT INTO from_select (id, v) VALUES (9999, 'instant');
INSERT INTO from_select (id, v) VALUES ROW(10000, 'values'), ROW(10001, 'rows');
INSERT INTO from_select (id, v) VALUES (1, 'alias') AS new ON DUPLICATE KEY UPDATE v = new.v;
SET SESSION explicit_defaults_for_timestamp = OFF;
CREATE TABLE implicit (id INT PRIMARY KEY, t TIMESTAMP) ENGINE=InnoDB;
INSERT INTO implicit (id) VALUES (1);
UPDATE implicit SET id = 2;
SET SESSION explicit_defaults_for_timestamp = DEFAULT;
SET SESSION default_collation_for_utf8mb4 = utf8mb4_general_ci;
CREATE TABLE collated (v VARCHAR(20) CHARACTER SET utf8mb4) ENGINE=InnoDB;
INSERT INTO collated VALUES ('ß');
SET SESSION default_collation_for_utf8mb4 = DEFAULT;
CREATE ROLE reader;
DROP ROLE reader;
