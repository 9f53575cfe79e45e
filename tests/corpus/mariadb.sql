-- What only MariaDB has. A sequence is logged as rows, and with MINIMAL images neither a replica nor a replay can
-- apply them (error 4085).

CREATE TABLE own (id UUID PRIMARY KEY, a INET6, b INET4, c VARCHAR(4000) COMPRESSED, d LONGTEXT COMPRESSED, hidden INT INVISIBLE DEFAULT 3) ENGINE=InnoDB;
INSERT INTO own (id, a, b, c, d) VALUES ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.0.2.1', REPEAT('compressed ', 200), REPEAT('much ', 5000)), ('00000000-0000-0000-0000-000000000001', NULL, NULL, '', NULL);
UPDATE own SET c = 'short', hidden = 4 WHERE b = '192.0.2.1';
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 5 CACHE 3;
INSERT INTO copy (id, v, x) VALUES (20000 + NEXT VALUE FOR numbers, 'numbered', 0); -- full rows only
SELECT SETVAL(numbers, 500); -- full rows only
ALTER SEQUENCE numbers MAXVALUE 100000;
CREATE TABLE old_times (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB WITH SYSTEM VERSIONING;
INSERT INTO old_times VALUES (1, 'first');
UPDATE old_times SET v = 'second' WHERE id = 1;
DELETE FROM old_times WHERE id = 1;
CREATE TABLE aria (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=Aria;
INSERT INTO aria VALUES (1, 'one');
INSERT INTO taken (v) VALUES ('returned') RETURNING id, v;
DELETE FROM taken WHERE v = 'returned' RETURNING id;
SET STATEMENT timestamp = 1000000000.5 FOR INSERT INTO taken (v, ts) VALUES ('for one statement', NOW(6));
DELIMITER //
BEGIN NOT ATOMIC INSERT INTO aria VALUES (2, 'two'); INSERT INTO aria VALUES (3, 'three'); END//
DELIMITER ;
INSERT INTO isam VALUES (noted('sevenxx'), 'noted');
-- What cannot be rolled back stays, beside what was.
START TRANSACTION;
INSERT INTO taken (v) VALUES ('rolled back');
INSERT INTO isam VALUES (100, 'stays');
INSERT INTO taken (v) VALUES ('rolled back too');
ROLLBACK;
START TRANSACTION;
INSERT INTO isam VALUES (101, 'first');
INSERT INTO taken (v) VALUES ('and then');
UPDATE isam SET v = 'in between' WHERE id = 101;
COMMIT;
START TRANSACTION;
INSERT INTO taken (v) VALUES ('before the savepoint');
SAVEPOINT s;
INSERT INTO isam VALUES (102, 'stays');
INSERT INTO taken (v) VALUES ('behind it');
ROLLBACK TO s;
COMMIT;
CREATE OR REPLACE TABLE replaced (id INT) ENGINE=InnoDB;
CREATE OR REPLACE TABLE replaced (id INT PRIMARY KEY, v INT DEFAULT 4 CHECK (v > 3)) ENGINE=InnoDB;
INSERT INTO replaced (id) VALUES (1);
CREATE TABLE from_select ENGINE=InnoDB SELECT id, v FROM copy WHERE id < 20 ORDER BY id;
CREATE TABLE mixed_select (PRIMARY KEY (id)) ENGINE=MyISAM SELECT id, v FROM copy WHERE id < 5 ORDER BY id;
ALTER TABLE from_select ADD COLUMN added INT DEFAULT 9, ALGORITHM=INSTANT;
OPTIMIZE TABLE isam;
FLUSH TABLES;
CREATE ROLE reader;
DROP ROLE reader;
CREATE TABLE without_key (v VARCHAR(200)) ENGINE=InnoDB;
INSERT INTO without_key VALUES (REPEAT('a', 200)), (REPEAT('b', 200)), ('c');
UPDATE without_key SET v = REPEAT('d', 200) WHERE v < 'b';
DELETE FROM without_key;
