-- The schema that Ackline keeps for itself. What each table is for: migrations/README.md.

CREATE DATABASE IF NOT EXISTS ackline CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ackline.migrations (
  number INT UNSIGNED NOT NULL,
  name VARCHAR(190) NOT NULL,
  checksum CHAR(64) NOT NULL,
  applied_at DATETIME(6) NOT NULL,
  PRIMARY KEY (number)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ackline.checksums (
  db_name VARCHAR(64) NOT NULL,
  table_name VARCHAR(64) NOT NULL,
  chunk BIGINT UNSIGNED NOT NULL,
  lower_boundary TEXT NULL,
  upper_boundary TEXT NULL,
  this_cnt BIGINT UNSIGNED NOT NULL,
  this_crc VARCHAR(64) NOT NULL,
  master_cnt BIGINT UNSIGNED NULL,
  master_crc VARCHAR(64) NULL,
  run VARCHAR(64) NOT NULL,
  checked_at DATETIME(6) NOT NULL,
  PRIMARY KEY (db_name, table_name, chunk)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
