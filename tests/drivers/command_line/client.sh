#!/usr/bin/env bash
# The command line client: client.sh mariadb|mysql. Facts are as in ../python/facts.py.
set -uo pipefail

client=$1
options=(--no-defaults --protocol=tcp -h"$ACKLINE_DB_HOST" -P"$ACKLINE_DB_PORT" -u"$ACKLINE_DB_USER"
    --default-character-set=utf8mb4)
case "$client" in
*mariadb)
    [ -n "${ACKLINE_DB_TLS_CA:-}" ] && options+=(--ssl-ca="$ACKLINE_DB_TLS_CA" --ssl-verify-server-cert) ||
        options+=(--skip-ssl)
    ;;
*)
    [ -n "${ACKLINE_DB_TLS_CA:-}" ] && options+=(--ssl-mode=VERIFY_CA --ssl-ca="$ACKLINE_DB_TLS_CA") ||
        options+=(--ssl-mode=DISABLED --get-server-public-key)
    ;;
esac
export MYSQL_PWD=$ACKLINE_DB_PASSWORD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The answer of statements, or its errors without the words.
sql() {
    "$client" "${options[@]}" --batch --skip-column-names --raw "${more[@]}" "$ACKLINE_DB_DATABASE" "$@" 2>&1 |
        said
}
# Without the statement that it repeats before an error, and without what the error says.
said() {
    sed -E -e '/^-{14}$/,/^-{14}$/d' -e '/^$/d' -e 's/^(ERROR [0-9]+ \([0-9A-Z]+\)).*/\1/'
}
more=()
fact() {
    printf '%s: %s\n' "$1" "$(paste -s -d'|')"
}

# As in ../python/facts.py.
if [ -n "${ACKLINE_DB_CHAPTER:-}" ]; then
    sql -e 'SELECT 6 * 7' | fact "$ACKLINE_DB_CHAPTER"
    exit 0
fi

sql -e 'SELECT 6 * 7' | fact connect
sql -e 'SELECT DATABASE() LIKE "drv%" OR 1, @@character_set_client' | fact connect.charset
MYSQL_PWD=wrong sql -e 'SELECT 1' | fact connect.refused
sql -e '\s' | grep -cE '^(Current user|Server characterset|Uptime)' | fact connect.status

cat >"$scratch/types.sql" <<'SQL'
DROP TABLE IF EXISTS drv_types;
CREATE TABLE drv_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, exact DECIMAL(38,10), approximate DOUBLE,
  text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB, date_ DATE, time_ TIME(6), datetime_ DATETIME(6), year_ YEAR,
  bits BIT(10), json_ JSON, enum_ ENUM('red', 'green', 'blue'), set_ SET('a', 'b', 'c'), nothing INT NULL) CHARACTER SET utf8mb4;
INSERT INTO drv_types VALUES (1, 18446744073709551615, -128, 1234567890123456789012345678.0123456789, 0.1,
  'Grüße 🐬 日本', X'00ff27', '2024-02-29', '-112:34:56.123456', '2024-02-29 23:59:59.123456', 2024, b'1010101010',
  '{"a": [1, 2.5, null], "b": "ü"}', 'green', 'a,c', NULL);
SELECT big, tiny, exact, approximate, text_, HEX(bytes_), date_, time_, datetime_, year_, bits + 0, json_, enum_, set_, nothing
  FROM drv_types;
SET sql_mode = '';
INSERT INTO drv_types (id, date_) VALUES (4, '0000-00-00');
SELECT date_ FROM drv_types WHERE id = 4;
DROP TABLE drv_types;
SQL
sql <"$scratch/types.sql" | fact types
sql -e 'PREPARE twice FROM "SELECT ? * 2, ?"; SET @a = 21, @b = NULL; EXECUTE twice USING @a, @b;
    DEALLOCATE PREPARE twice; EXECUTE twice USING @a, @b' | fact prepared

{
    echo 'DROP TABLE IF EXISTS drv_blob; CREATE TABLE drv_blob (id INT PRIMARY KEY, data LONGBLOB);'
    printf "INSERT INTO drv_blob VALUES (1, '"
    head -c 17000000 /dev/zero | tr '\0' 'z'
    echo "'); SELECT id, LENGTH(data), SHA2(data, 256) FROM drv_blob;"
} >"$scratch/blob.sql"
more=(--max-allowed-packet=64M)
sql <"$scratch/blob.sql" | fact blob
sql -e 'SELECT data FROM drv_blob; DROP TABLE drv_blob' | wc -c | fact blob.read
more=()

sql -e 'DROP TABLE IF EXISTS drv_account; CREATE TABLE drv_account (id INT PRIMARY KEY) ENGINE=InnoDB;
    BEGIN; INSERT INTO drv_account VALUES (1); ROLLBACK; SELECT COUNT(*) FROM drv_account;
    BEGIN; INSERT INTO drv_account VALUES (2); COMMIT; SELECT COUNT(*) FROM drv_account' | fact transaction
more=(--force)
printf '%s;\n' 'INSERT INTO drv_account VALUES (2)' 'SELEKT 1' 'SELECT * FROM drv_nowhere' 'SELECT 3' \
    'DROP TABLE drv_account' | sql | fact error
more=(--force --show-warnings)
sql -e 'DROP TABLE IF EXISTS drv_not_there; SELECT 1 / 0' | sed "s/'.*'/(its name)/" | fact error.warnings
more=()
sql -e 'DROP TABLE IF EXISTS drv_ten; CREATE TABLE drv_ten (n INT PRIMARY KEY);
    INSERT INTO drv_ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)' | fact big.table
big='SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT("x", 100)
    FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n'
sql -e "$big" | md5sum | fact big
more=(--quick)
sql -e "$big" | md5sum | fact big.quick
case "$client" in
*mariadb)
    more=(--compress)
    sql -e "$big" | md5sum | fact big.compressed
    ;;
*)
    for algorithm in zlib zstd; do
        more=(--compression-algorithms=$algorithm)
        sql -e "$big" | md5sum | fact "big.$algorithm"
    done
    ;;
esac

seq 0 19999 | sed 's/.*/&,name-&/' >"$scratch/rows.csv"
more=(--local-infile=1)
load="LOAD DATA LOCAL INFILE '$scratch/rows.csv' INTO TABLE drv_infile FIELDS TERMINATED BY ','"
sql -e "DROP TABLE IF EXISTS drv_infile; CREATE TABLE drv_infile (id INT, name TEXT); $load; $load;
    SELECT COUNT(*), SUM(id) FROM drv_infile" | fact infile
more=(--local-infile=1 --force)
printf '%s;\n' "LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE drv_infile" 'SELECT 1' 'DROP TABLE drv_infile' |
    sql | fact infile.missing
more=(--delimiter=//)
printf '%s//' 'DROP PROCEDURE IF EXISTS drv_procedure' 'CREATE PROCEDURE drv_procedure(IN a INT, OUT b INT)
    BEGIN SELECT a; SET b = a * 2; SELECT b; END' 'CALL drv_procedure(21, @b)' 'SELECT @b' 'DROP PROCEDURE drv_procedure' \
    >"$scratch/procedure.sql"
sql <"$scratch/procedure.sql" | fact procedure
more=()

# Ctrl-C is KILL QUERY on a second connection; the session's end is a KILL.
listed="SELECT ID FROM $ACKLINE_DB_PROCESSES"' WHERE INFO LIKE "SELECT n FROM drv_ten WHERE SLEEP%" AND DB = DATABASE()'
for kind in QUERY CONNECTION; do
    "$client" "${options[@]}" -NB --force "$ACKLINE_DB_DATABASE" \
        <<<$'SELECT n FROM drv_ten WHERE SLEEP(60) = 0;\nSELECT 2;' >"$scratch/killed" 2>&1 &
    id=
    for ((tries = 0; tries < 600 && ${#id} == 0; tries++)); do
        id=$(sql -e "$listed")
        sleep 0.1
    done
    sql -e "KILL $kind $id"
    wait $!
    said <"$scratch/killed" | fact "kill.$kind"
done
sql -e 'SELECT 4' | fact kill.reconnect
