-- DDL of both flavors, behind common.sql, in a session of its own.
CREATE TABLE parts (id INT NOT NULL, d DATE NOT NULL, PRIMARY KEY (id, d)) ENGINE=InnoDB
    PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, '1999-01-01'), (2, '2024-01-01');
ALTER TABLE parts DROP PARTITION p0;
ALTER TABLE copy ADD COLUMN w INT NOT NULL DEFAULT 7, ADD INDEX by_v (v(20));
ALTER TABLE copy RENAME COLUMN w TO x, ALGORITHM=INPLACE;
UPDATE copy SET x = id WHERE id < 10;
CREATE TABLE `odd ``name`` ü` (`a b` INT, `select` INT) ENGINE=InnoDB;
INSERT INTO `odd ``name`` ü` VALUES (1, 2);
RENAME TABLE implied TO renamed, `odd ``name`` ü` TO `odd`;
TRUNCATE TABLE heap;
INSERT INTO heap VALUES (3, 'after');
DROP TABLE renamed;
DROP TABLE IF EXISTS nothing_there;
CREATE TABLE IF NOT EXISTS copy (id INT);
CREATE UNIQUE INDEX by_both ON child (id, parent);
DROP INDEX by_both ON child;
ANALYZE TABLE copy;
CREATE DATABASE IF NOT EXISTS `an other` CHARACTER SET latin1;
CREATE TABLE `an other`.t (id INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO `an other`.t VALUES (1, 'elsewhere');
USE `an other`;
INSERT INTO t VALUES (2, 'chosen');
DROP DATABASE `an other`;
CREATE USER IF NOT EXISTS someone@localhost;
GRANT SELECT ON *.* TO someone@localhost;
DROP USER someone@localhost;
