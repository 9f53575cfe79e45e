-- Unsafe as statements, so only where they become rows: binlog_format MIXED and ROW.

CREATE TABLE varies (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), n BIGINT) ENGINE=InnoDB;
INSERT INTO varies (v) VALUES (UUID());
INSERT INTO varies (v, n) VALUES (USER(), CONNECTION_ID()), (@@hostname, UUID_SHORT());
INSERT INTO varies (v) SELECT CONCAT(v, RAND()) FROM varies ORDER BY RAND() LIMIT 2;
UPDATE varies SET v = UUID() LIMIT 3;
DELETE FROM varies ORDER BY RAND() LIMIT 1;
INSERT INTO varies (v, n) VALUES (SYSDATE(6), FOUND_ROWS());
CREATE TABLE chosen (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) SELECT v FROM varies;
START TRANSACTION;
INSERT INTO varies (v) VALUES ('a statement');
INSERT INTO varies (v) VALUES (UUID());
INSERT INTO varies (v) VALUES ('and one more');
COMMIT;
CREATE TEMPORARY TABLE passing SELECT UUID() AS v;
INSERT INTO varies (v) SELECT v FROM passing;
DROP TEMPORARY TABLE passing;
