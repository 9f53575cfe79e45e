-- What both flavors log, in every binlog_format; run with the database of its own chosen, @FILES@ replaced
-- by a folder. Nothing here is unsafe as a statement: a replay must make the same rows.

CREATE TABLE kinds (
    id INT PRIMARY KEY AUTO_INCREMENT,
    i1 TINYINT, i2 SMALLINT UNSIGNED, i3 MEDIUMINT, i4 INT UNSIGNED, i8 BIGINT, u8 BIGINT UNSIGNED,
    f FLOAT, d DOUBLE, n DECIMAL(65,30), n9 DECIMAL(9,0), bits BIT(11), bit1 BIT(1), y YEAR,
    da DATE, t0 TIME, t3 TIME(3), t6 TIME(6), dt DATETIME, dt4 DATETIME(4), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL,
    c CHAR(20), c_bin BINARY(9), v VARCHAR(300), v_bin VARBINARY(300), v_long VARCHAR(4000),
    tt TINYTEXT, mt MEDIUMTEXT, tb TINYBLOB, lb LONGBLOB,
    e ENUM('one', 'two', 'drei'), s SET('a', 'b', 'c', 'd'), g GEOMETRY, p POINT, j JSON,
    latin VARCHAR(40) CHARACTER SET latin1, wide VARCHAR(40) CHARACTER SET utf16, big5 VARCHAR(40) CHARACTER SET big5,
    stored_ INT AS (i1 + 1) STORED, virtual_ INT AS (i1 * 2) VIRTUAL,
    UNIQUE KEY (u8)
) ENGINE=InnoDB CHARACTER SET utf8mb4;

INSERT INTO kinds (i1, i2, i3, i4, i8, u8, f, d, n, n9, bits, bit1, y) VALUES
    (-128, 65535, -8388608, 4294967295, -9223372036854775808, 18446744073709551615, -1.5e-30, 2.2250738585072014e-308,
     -12345678901234567890123456789012345.123456789012345678901234567890, 999999999, b'10101010101', b'1', 2155),
    (127, 0, 8388607, 0, 9223372036854775807, 0, 3.4e38, -1.7976931348623157e308,
     0.000000000000000000000000000001, -999999999, b'0', b'0', 1901),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO kinds (i1, u8, da, t0, t3, t6, dt, dt4, ts, ts6) VALUES
    (1, 1, '1000-01-01', '-838:59:59', '-00:00:00.001', '-838:59:58.999999', '9999-12-31 23:59:59', '2024-02-29 01:02:03.0405', '2001-09-09 01:46:40', '2038-01-19 03:14:07.999999'),
    (2, 2, '9999-12-31', '838:59:59', '00:00:00.000', '00:00:00.000001', '1000-01-01 00:00:00', '1000-01-01 00:00:00.0000', '1970-01-02 00:00:01', '1970-01-02 00:00:01.000001');
INSERT INTO kinds (i1, u8, c, c_bin, v, v_bin, v_long, tt, mt, tb, lb, e, s) VALUES
    (3, 3, 'Grüße 🐬 日本', X'00ff27', 'it''s "quoted" \\ \n\r\t\Z\0 `so`', X'000102fffe', REPEAT('lang ', 700), 'tiny', REPEAT('m', 70000), X'00', REPEAT(X'00ff', 40000), 'drei', 'a,d'),
    (4, 4, '', X'', '', X'', '', '', '', '', '', 'one', ''),
    (5, 5, ' padded ', X'2020', 'a;b -- no comment /* neither */', X'', NULL, NULL, NULL, NULL, NULL, 2, 15);
INSERT INTO kinds (i1, u8, g, p, j) VALUES
    (6, 6, ST_GeomFromText('POLYGON((0 0,0 3,3 3,3 0,0 0),(1 1,1 2,2 2,2 1,1 1))'), ST_GeomFromText('POINT(1.5 -2.5)'),
     '{"a": [1, -2, 3.5, true, false, null, "x"], "ü": {"deep": {"er": "🐬"}}, "big": 18446744073709551615, "text": "0123456789012345678901234567890123456789"}'),
    (7, 7, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1,2 0))'), NULL, '[]');
INSERT INTO kinds (i1, u8, latin, wide, big5) VALUES (8, 8, 'Äpfel', 'ありがとう', '中文');
UPDATE kinds SET j = JSON_SET(j, '$.a[1]', 'changed', '$.new', 12), v = 'updated' WHERE u8 = 6;
UPDATE kinds SET j = JSON_REMOVE(j, '$.big') WHERE u8 = 6;
UPDATE kinds SET bits = b'11', s = 'b,c', e = 'two', d = d / 3 WHERE i1 < 0;
UPDATE kinds SET lb = CONCAT(lb, X'0a0d'), tt = NULL WHERE u8 = 3;
DELETE FROM kinds WHERE u8 = 4;

-- What a statement takes from its session is logged with it.
SET @number = 7, @negative = -7000000000, @decimal = 1.250, @real = 1e10, @text = 'text', @nothing = NULL, @bytes = X'00ff01';
CREATE TABLE taken (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), d DOUBLE, ts TIMESTAMP(6) NULL) ENGINE=InnoDB CHARACTER SET utf8mb4;
INSERT INTO taken (v) VALUES (@number), (@negative), (@decimal), (@real), (@text), (@nothing), (HEX(@bytes));
SET @latin = _latin1 X'e4f6fc' COLLATE latin1_german1_ci;
INSERT INTO taken (v) VALUES (@latin);
INSERT INTO taken (d) VALUES (RAND());
SET rand_seed1 = 7, rand_seed2 = 11;
INSERT INTO taken (d) VALUES (RAND());
SET insert_id = 1000;
INSERT INTO taken (v) VALUES ('insert_id'), ('the next');
SET auto_increment_increment = 10, auto_increment_offset = 3;
INSERT INTO taken (v) VALUES ('in tens'), ('in tens');
SET auto_increment_increment = 1, auto_increment_offset = 1;
INSERT INTO taken (v) VALUES (LAST_INSERT_ID());
SET timestamp = 1234567890.123456;
INSERT INTO taken (v, ts) VALUES (NOW(), NOW(6));
SET time_zone = '+05:45';
INSERT INTO taken (v, ts) VALUES (NOW(), NOW());
SET timestamp = DEFAULT, time_zone = DEFAULT;
INSERT INTO taken (ts) VALUES (CURRENT_TIMESTAMP);
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,ALLOW_INVALID_DATES';
INSERT INTO "taken" ("v") VALUES ('back\slash' || ' and ' || 'pipes');
SET sql_mode = '';
INSERT INTO taken (v) VALUES ("double quotes");
INSERT INTO kinds (i1, u8, da, dt, i2, c) VALUES (9, 9, '0000-00-00', '2024-00-00 00:00:00', -1, REPEAT('too long', 9));
SET sql_mode = DEFAULT;
SET NAMES latin1 COLLATE latin1_bin;
INSERT INTO taken (v) VALUES (_utf8mb4 X'f09f90ac');
SET NAMES utf8mb4;
SET collation_connection = utf8mb4_bin, character_set_database = DEFAULT;
INSERT INTO taken (v) SELECT v FROM taken WHERE v = 'TEXT' OR v = 'text' ORDER BY id;
SET collation_connection = DEFAULT, lc_time_names = 'de_DE';
INSERT INTO taken (v) VALUES (DATE_FORMAT('2024-03-01', '%W %M'));
SET lc_time_names = DEFAULT;
SET foreign_key_checks = 0, unique_checks = 0;
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB;
CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB;
SET foreign_key_checks = 1, unique_checks = 1;
INSERT INTO parent VALUES (1), (2), (3);
INSERT INTO child VALUES (10, 1), (20, 2), (30, 3);
UPDATE parent SET id = 33 WHERE id = 3;
DELETE FROM parent WHERE id = 1;

-- Transactions.
START TRANSACTION;
INSERT INTO taken (v) VALUES ('kept');
SAVEPOINT `a "name"`;
INSERT INTO taken (v) VALUES ('taken back');
ROLLBACK TO `a "name"`;
INSERT INTO taken (v) VALUES ('kept too');
SAVEPOINT two;
UPDATE taken SET v = CONCAT(v, '!') WHERE v = 'kept';
RELEASE SAVEPOINT two;
COMMIT;
START TRANSACTION;
INSERT INTO taken (v) VALUES ('never there');
ROLLBACK;
START TRANSACTION READ ONLY;
SELECT COUNT(*) FROM taken;
COMMIT;
SET autocommit = 0;
INSERT INTO taken (v) VALUES ('without BEGIN');
DELETE FROM taken WHERE v = 'the next';
COMMIT;
SET autocommit = 1;
START TRANSACTION;
INSERT INTO taken (v) VALUES ('committed by a DDL');
CREATE TABLE implied (id INT) ENGINE=InnoDB;

XA START 'one', 'branch', 7;
INSERT INTO taken (v) VALUES ('xa');
XA END 'one', 'branch', 7;
XA PREPARE 'one', 'branch', 7;
XA COMMIT 'one', 'branch', 7;
XA START X'00ff27';
INSERT INTO taken (v) VALUES ('xa in one phase');
XA END X'00ff27';
XA COMMIT X'00ff27' ONE PHASE;
XA START 'back';
INSERT INTO taken (v) VALUES ('xa back');
XA END 'back';
XA PREPARE 'back';
XA ROLLBACK 'back';

-- From table to table, and from files.
CREATE TABLE copy (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=InnoDB CHARACTER SET utf8mb4;
INSERT INTO copy (id, v) SELECT id, v FROM taken ORDER BY id;
INSERT INTO copy (id, v) VALUES (1, 'one'), (5000, 'new') ON DUPLICATE KEY UPDATE v = CONCAT('again ', VALUES(v));
REPLACE INTO copy (id, v) VALUES (2, 'replaced'), (5001, 'not replaced');
UPDATE copy JOIN taken USING (id) SET copy.v = CONCAT(copy.v, taken.id) WHERE taken.id < 5;
DELETE copy FROM copy JOIN taken USING (id) WHERE taken.id = 4;
LOAD DATA INFILE '@FILES@/rows.csv' INTO TABLE copy CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' LINES TERMINATED BY '\n' (id, v);
LOAD DATA LOCAL INFILE '@FILES@/more.csv' REPLACE INTO TABLE copy FIELDS TERMINATED BY ';' IGNORE 1 LINES (id, @given) SET v = UPPER(@given);
CREATE TABLE heap (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MEMORY;
INSERT INTO heap VALUES (1, 'volatile'), (2, 'too');
DELETE FROM heap WHERE id = 1;
CREATE TABLE isam (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MyISAM;
INSERT INTO isam VALUES (1, 'eins'), (2, 'zwei');
UPDATE isam SET v = 'drei' WHERE id = 2;
CREATE TABLE alike LIKE kinds;
CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB;
INSERT INTO big VALUES (1, REPEAT('0123456789abcdef', 20000)), (2, '');
UPDATE big SET b = CONCAT('first', b) WHERE id = 1;
DELETE FROM big WHERE id = 1;

-- Routines, triggers, events, views.
DELIMITER //
CREATE PROCEDURE twice(IN words VARCHAR(100), OUT how_many INT)
BEGIN
    DECLARE local INT DEFAULT 3;
    INSERT INTO taken (v) VALUES (CONCAT(words, local));
    INSERT INTO taken (v) VALUES (CONCAT('again ', words));
    SELECT COUNT(*) INTO how_many FROM taken;
END//
CREATE FUNCTION squared(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n * n//
CREATE FUNCTION noted(words VARCHAR(100)) RETURNS INT DETERMINISTIC MODIFIES SQL DATA
BEGIN
    INSERT INTO copy (id, v) VALUES (9000 + CHAR_LENGTH(words), words);
    RETURN CHAR_LENGTH(words);
END//
CREATE TRIGGER followed AFTER INSERT ON parent FOR EACH ROW
BEGIN
    INSERT INTO child VALUES (NEW.id * 10, NEW.id);
    SET @followed = NEW.id;
END//
CREATE TRIGGER stamped BEFORE UPDATE ON heap FOR EACH ROW SET NEW.v = CONCAT(NEW.v, ' trigger')//
INSERT INTO parent VALUES (41); INSERT INTO parent VALUES (42); UPDATE heap SET v = 'by' WHERE id = 2//
DELIMITER ;
CALL twice('called', @how_many);
CALL twice('it''s ü', @how_many);
INSERT INTO copy VALUES (8000 + squared(3), 'by a function');
SELECT noted('four');
PREPARE ready FROM 'INSERT INTO copy VALUES (?, ?)';
SET @id = 7000, @words = 'prepared';
EXECUTE ready USING @id, @words;
DEALLOCATE PREPARE ready;
CREATE VIEW seen AS SELECT id, v FROM copy WHERE id > 5000 WITH CHECK OPTION;
INSERT INTO seen VALUES (6000, 'through a view');
UPDATE seen SET v = 'changed through a view' WHERE id = 6000;
CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE COMMENT 'never' DO DELETE FROM copy;
ALTER EVENT later RENAME TO much_later;
ALTER VIEW seen AS SELECT id FROM copy;
ALTER PROCEDURE twice COMMENT 'two rows';

-- Temporary tables.
CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(40)) ENGINE=InnoDB;
INSERT INTO passing (v) VALUES ('a'), ('b');
INSERT INTO copy (id, v) SELECT 7100 + id, v FROM passing ORDER BY id;
START TRANSACTION;
INSERT INTO passing (v) VALUES ('c');
INSERT INTO copy (id, v) SELECT 7200 + id, v FROM passing ORDER BY id;
ROLLBACK;
CREATE TEMPORARY TABLE copy (id INT);
INSERT INTO copy VALUES (1);
DROP TEMPORARY TABLE copy;
CREATE TEMPORARY TABLE left_open (id INT) ENGINE=MyISAM;
INSERT INTO left_open VALUES (1);
-- It goes with the session.
