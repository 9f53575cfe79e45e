"""What the Python drivers have in common: where to connect, the chapters, and how facts are printed.

A driver's program fills in a `Driver` and calls `run`. Facts are lines "name: value"; they hold nothing
that differs from one run to the next (no times, no connection ids), so that two runs can be compared.
"""

import datetime
import decimal
import hashlib
import json
import os
import sys
import tempfile
import threading
import time
import traceback

HOST = os.environ["ACKLINE_DB_HOST"]
PORT = int(os.environ["ACKLINE_DB_PORT"])
USER = os.environ["ACKLINE_DB_USER"]
PASSWORD = os.environ["ACKLINE_DB_PASSWORD"]
DATABASE = os.environ["ACKLINE_DB_DATABASE"]
# The table of the sessions.
PROCESSES = os.environ["ACKLINE_DB_PROCESSES"]
# A file with the certificate authority: then TLS is insisted on.
TLS_CA = os.environ.get("ACKLINE_DB_TLS_CA")
# "login.…": nothing but a login, as a fact of that name. "restart": a proxy that is started again meanwhile.
CHAPTER = os.environ.get("ACKLINE_DB_CHAPTER", "")

BLOB = bytes(range(256)) * 300
# Longer than one packet of the protocol.
LARGE = bytes(at % 251 for at in range(1 << 10)) * (17 << 10)
TEXT = "Gr\u00fc\u00dfe \U0001f42c \u65e5\u672c '\"\\ %s ?"
TYPES = """CREATE TABLE {} (
    id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, exact DECIMAL(38,10), approximate DOUBLE,
    text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB, date_ DATE, time_ TIME(6), datetime_ DATETIME(6),
    year_ YEAR, bits BIT(10), json_ JSON, enum_ ENUM('red', 'green', 'blue'), set_ SET('a', 'b', 'c'),
    nothing INT NULL) CHARACTER SET utf8mb4"""
NAMES = ("id", "big", "tiny", "exact", "approximate", "text_", "bytes_", "date_", "time_", "datetime_", "year_",
         "bits", "json_", "enum_", "set_", "nothing")


def fact(name, value):
    print(f"{name}: {shown(value)}", flush=True)


def shown(value):
    """One way to write a value, whatever the driver makes of it."""
    if value is None:
        return "NULL"
    if isinstance(value, (bytes, bytearray)):
        if len(value) <= 8:
            return "0x" + bytes(value).hex()
        return f"{len(value)} bytes {hashlib.sha1(value).hexdigest()[:12]}"
    if isinstance(value, datetime.timedelta):
        micros = value // datetime.timedelta(microseconds=1)
        sign, micros = ("-" if micros < 0 else ""), abs(micros)
        hours, rest = divmod(micros, 3_600_000_000)
        minutes, rest = divmod(rest, 60_000_000)
        return f"{sign}{hours:02}:{minutes:02}:{rest // 1_000_000:02}.{rest % 1_000_000:06}"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (set, frozenset)):
        return ",".join(sorted(value))
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(shown(one) for one in value) + ")"
    return str(value)


class Driver:
    """What differs between drivers. `connect` takes the driver's own extra options."""

    # The driver's class of errors, and how to read the server's number and SQLSTATE out of one.
    Error = Exception
    # Whether the driver takes CLIENT_LOCAL_FILES, and with which option.
    local_infile = {"local_infile": True}
    # What it can read and write in one value.
    largest = len(LARGE)

    def connect(self, **options):
        raise NotImplementedError

    def number(self, error):
        return error.args[0] if error.args else None

    def rows(self, conn, sql, arguments=None):
        cursor = conn.cursor()
        cursor.execute(sql, arguments)
        rows = cursor.fetchall() if cursor.description else []
        cursor.close()
        return rows

    def value(self, conn, sql, arguments=None):
        return self.rows(conn, sql, arguments)[0][0]

    def run(self, conn, sql, arguments=None):
        cursor = conn.cursor()
        affected = cursor.execute(sql, arguments)
        count = cursor.rowcount
        cursor.close()
        return count if affected is None else affected

    def many(self, conn, sql, rows):
        cursor = conn.cursor()
        cursor.executemany(sql, rows)
        count = cursor.rowcount
        cursor.close()
        return count

    # Chapters that not every driver has.
    extras = ()

    def restarted(self):
        restart_chapter(self)


class Failure(Exception):
    """What the chapter expected to fail did not."""


def error_of(driver, action):
    try:
        action()
    except driver.Error as error:
        return driver.number(error)
    raise Failure("no error")


def wait_for(what, probe):
    deadline = time.monotonic() + 60
    while not probe():
        if time.monotonic() > deadline:
            raise Failure(f"never: {what}")
        time.sleep(0.02)


def connect_chapter(driver):
    conn = driver.connect()
    fact("connect", driver.value(conn, "SELECT 6 * 7"))
    fact("connect.database", driver.value(conn, "SELECT DATABASE()") == DATABASE)
    fact("connect.charset", driver.value(conn, "SELECT @@character_set_client"))
    conn.ping()
    fact("connect.id", driver.value(conn, "SELECT CONNECTION_ID() > 0"))
    conn.close()
    fact("connect.refused", error_of(driver, lambda: driver.connect(password="wrong")))
    fact("connect.no_database", error_of(driver, lambda: driver.connect(database="drv_nowhere")))


def types_chapter(driver, name="text", insert=None, select=None, columns="*"):
    """Each type there and back; the prepared form of it runs the same with other functions."""
    insert = insert or driver.run
    select = select or driver.rows
    table = f"drv_types_{name}"
    conn = driver.connect()
    driver.run(conn, f"DROP TABLE IF EXISTS {table}")
    driver.run(conn, TYPES.format(table))
    values = [
        (1, 2**64 - 1, -128, decimal.Decimal("1234567890123456789012345678.0123456789"), 0.1, TEXT, BLOB,
         datetime.date(2024, 2, 29), -datetime.timedelta(hours=112, minutes=34, seconds=56, microseconds=123456),
         datetime.datetime(2024, 2, 29, 23, 59, 59, 123456), 2024, 682, '{"a": [1, 2.5, null], "b": "\u00fc"}',
         "green", "a,c", None),
        (2, 0, 127, decimal.Decimal("-0.0000000001"), -1.5e300, "", b"", datetime.date(1000, 1, 1),
         datetime.timedelta(hours=838, minutes=59, seconds=58), datetime.datetime(9999, 12, 31), 1901, 0,
         "[]", "red", "", 5),
        (3,) + (None,) * 15,
    ]
    for row in values:
        insert(conn, f"INSERT INTO {table} VALUES ({', '.join(['%s'] * 16)})", row)
    conn.commit()
    for row in select(conn, f"SELECT {columns} FROM {table} ORDER BY id", ()):
        for column, value in zip(NAMES, row):
            if column == "json_" and value is not None:
                value = json.loads(value)
                value = json.dumps(value, ensure_ascii=False)
            if column == "bits" and isinstance(value, (bytes, bytearray)):
                value = int.from_bytes(value, "big")
            fact(f"types.{name}.{row[0]}.{column}", value)
    found = select(conn, f"SELECT id FROM {table} WHERE exact = %s AND text_ = %s AND bytes_ = %s", values[0][3:4] + values[0][5:7])
    fact(f"types.{name}.found", found)
    # What no calendar has.
    driver.run(conn, "SET SESSION sql_mode = ''")
    driver.run(conn, f"INSERT INTO {table} (id, date_, datetime_) VALUES (4, '0000-00-00', '2024-00-00 00:00:00')")
    driver.run(conn, "COMMIT")
    try:
        fact(f"types.{name}.zero_date", select(conn, f"SELECT date_, datetime_ FROM {table} WHERE id = 4", ()))
        conn.close()
    except ValueError:
        # And then it has lost its place in the answer.
        fact(f"types.{name}.zero_date", "the driver cannot")
    conn = driver.connect()
    driver.run(conn, f"DROP TABLE {table}")
    conn.close()


def transactions_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_account")
    driver.run(conn, "CREATE TABLE drv_account (id INT PRIMARY KEY AUTO_INCREMENT, amount INT) ENGINE=InnoDB")
    other = driver.connect()
    count = lambda of: (driver.value(of, "SELECT COUNT(*) FROM drv_account"), of.commit())[0]
    driver.run(conn, "INSERT INTO drv_account (amount) VALUES (%s)", (100,))
    fact("transaction.unseen", count(other))
    conn.commit()
    fact("transaction.committed", count(other))
    driver.run(conn, "INSERT INTO drv_account (amount) VALUES (%s)", (200,))
    conn.rollback()
    fact("transaction.rolled_back", count(conn))
    driver.run(conn, "INSERT INTO drv_account (amount) VALUES (1)")
    driver.run(conn, "SAVEPOINT half")
    driver.run(conn, "INSERT INTO drv_account (amount) VALUES (2)")
    driver.run(conn, "ROLLBACK TO SAVEPOINT half")
    conn.commit()
    fact("transaction.savepoint", driver.value(conn, "SELECT GROUP_CONCAT(amount) FROM drv_account"))
    fact("transaction.affected", driver.run(conn, "UPDATE drv_account SET amount = amount + 1"))
    conn.commit()
    cursor = conn.cursor()
    cursor.execute("INSERT INTO drv_account (amount) VALUES (5)")
    fact("transaction.last_id_grows", cursor.lastrowid > 3)
    cursor.close()
    conn.commit()
    fact("transaction.duplicate", error_of(driver, lambda: driver.run(conn, "INSERT INTO drv_account VALUES (1, 1)")))
    conn.rollback()
    # Two that lock what the other wants; the second is told, and can go on.
    driver.run(other, "SET innodb_lock_wait_timeout = 1")
    driver.run(conn, "UPDATE drv_account SET amount = 7 WHERE id = 1")
    fact("transaction.lock_wait", error_of(driver, lambda: driver.run(other, "UPDATE drv_account SET amount = 8 WHERE id = 1")))
    conn.commit()
    other.rollback()
    for one in (conn, other):
        one.close()


def errors_chapter(driver):
    conn = driver.connect()
    for name, sql in (
        ("syntax", "SELEKT 1"),
        ("no_table", "SELECT * FROM drv_nowhere"),
        ("division", "SELECT 1 FROM"),
        ("signal", "BEGIN NOT ATOMIC SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 5555, MESSAGE_TEXT = 'ours'; END"),
    ):
        if name == "signal" and "MariaDB" not in driver.value(conn, "SELECT VERSION()"):
            continue
        fact(f"error.{name}", error_of(driver, lambda: driver.run(conn, sql)))
    fact("error.goes_on", driver.value(conn, "SELECT 1"))
    driver.run(conn, "DROP TABLE IF EXISTS drv_not_there")
    fact("error.warning", [row[1] for row in driver.rows(conn, "SHOW WARNINGS")])
    conn.close()


def big_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_ten")
    driver.run(conn, "CREATE TABLE drv_ten (n INT PRIMARY KEY)")
    driver.run(conn, "INSERT INTO drv_ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
    conn.commit()
    rows = driver.rows(conn, BIG)
    fact("big.rows", len(rows))
    fact("big.sum", sum(row[0] for row in rows))
    fact("big.bytes", sum(len(row[1]) for row in rows))
    fact("big.last", rows[-1][0])
    conn.close()


BIG = """SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT('x', 100)
    FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n"""


def blobs_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_blob")
    driver.run(conn, "CREATE TABLE drv_blob (id INT PRIMARY KEY, data LONGBLOB)")
    blobs = ((1, BLOB), (2, LARGE[:driver.largest]))
    for id_, data in blobs:
        driver.run(conn, "INSERT INTO drv_blob VALUES (%s, %s)", (id_, data))
    conn.commit()
    for id_, data in blobs:
        back = driver.value(conn, "SELECT data FROM drv_blob WHERE id = %s", (id_,))
        fact(f"blob.{id_}", back)
        fact(f"blob.{id_}.same", bytes(back) == data)
    driver.run(conn, "DROP TABLE drv_blob")
    conn.close()


def bulk_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_bulk")
    driver.run(conn, "CREATE TABLE drv_bulk (id INT PRIMARY KEY, name VARCHAR(40))")
    rows = [(n, f"name {n}" if n % 7 else None) for n in range(5000)]
    fact("bulk.count", driver.many(conn, "INSERT INTO drv_bulk (id, name) VALUES (%s, %s)", rows))
    conn.commit()
    fact("bulk.stored", driver.rows(conn, "SELECT COUNT(*), COUNT(name), CAST(SUM(id) AS CHAR) FROM drv_bulk"))
    fact("bulk.duplicate", error_of(driver, lambda: driver.many(conn, "INSERT INTO drv_bulk (id, name) VALUES (%s, %s)", [(6000, "x"), (1, "y")])))
    conn.rollback()
    fact("bulk.after", driver.value(conn, "SELECT COUNT(*) FROM drv_bulk"))
    driver.run(conn, "DROP TABLE drv_bulk")
    conn.close()


def infile_chapter(driver):
    if driver.local_infile is None:
        return
    conn = driver.connect(**driver.local_infile)
    driver.run(conn, "DROP TABLE IF EXISTS drv_infile")
    driver.run(conn, "CREATE TABLE drv_infile (id INT, name VARCHAR(40))")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.writelines(f"{n},name-{n}\n" for n in range(20000))
        file.flush()
        load = f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE drv_infile FIELDS TERMINATED BY ','"
        fact("infile.affected", driver.run(conn, load))
        fact("infile.again", driver.run(conn, load))
    conn.commit()
    fact("infile.stored", driver.rows(conn, "SELECT COUNT(*), CAST(SUM(id) AS CHAR) FROM drv_infile"))
    driver.run(conn, "DROP TABLE drv_infile")
    conn.close()


def procedures_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP PROCEDURE IF EXISTS drv_procedure")
    driver.run(conn, "CREATE PROCEDURE drv_procedure(IN a INT, OUT b INT, INOUT c INT) "
                     "BEGIN SELECT a AS first_, 'one' AS word; SET b = a * 2; SET c = c + 1; SELECT b AS second_; END")
    driver.procedure(conn)
    fact("procedure.after", driver.value(conn, "SELECT 1"))
    driver.run(conn, "DROP PROCEDURE drv_procedure")
    conn.close()


def times_chapter(driver):
    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_stamp")
    driver.run(conn, "CREATE TABLE drv_stamp (at TIMESTAMP(3) NULL)")
    driver.run(conn, "SET time_zone = '+00:00'")
    driver.run(conn, "INSERT INTO drv_stamp VALUES (%s)", (datetime.datetime(2024, 7, 1, 12, 0, 0, 5000),))
    conn.commit()
    for zone in ("+00:00", "+05:30", "-08:00"):
        driver.run(conn, f"SET time_zone = '{zone}'")
        fact(f"time_zone.{zone}", driver.value(conn, "SELECT at FROM drv_stamp"))
    driver.run(conn, "DROP TABLE drv_stamp")
    conn.close()


def kill_chapter(driver):
    killer = driver.connect()
    # A query: its session goes on.
    conn = driver.connect()
    number = driver.value(conn, "SELECT CONNECTION_ID()")
    outcome = []
    slow = "SELECT n FROM drv_ten WHERE SLEEP(60) = 0"
    thread = threading.Thread(target=lambda: outcome.append(error_of(driver, lambda: driver.rows(conn, slow))))
    thread.start()
    running = f"SELECT COUNT(*) FROM {PROCESSES} WHERE ID = {number} AND INFO LIKE 'SELECT n FROM%'"
    wait_for("the query runs", lambda: driver.value(killer, running) == 1)
    driver.run(killer, f"KILL QUERY {number}")
    thread.join()
    fact("kill.query", outcome)
    fact("kill.query.goes_on", driver.value(conn, "SELECT 2"))
    # The connection itself.
    driver.run(killer, f"KILL {number}")
    gone = f"SELECT COUNT(*) FROM {PROCESSES} WHERE ID = {number}"
    wait_for("the connection goes", lambda: driver.value(killer, gone) == 0)
    time.sleep(0.3)
    fact("kill.connection", error_of(driver, lambda: driver.value(conn, "SELECT 3")))
    driver.reconnect(conn)
    fact("kill.unknown", error_of(driver, lambda: driver.run(killer, "KILL 4000000000")))
    killer.close()


def prepared_in_sql(driver):
    """For drivers that know the text protocol only."""
    conn = driver.connect()
    driver.run(conn, "PREPARE twice FROM 'SELECT ? * 2, CONCAT(?, ?)'")
    driver.run(conn, "SET @a = %s, @b = %s, @c = NULL", (21, TEXT))
    fact("prepared.first", driver.rows(conn, "EXECUTE twice USING @a, @b, @b"))
    fact("prepared.null", driver.rows(conn, "EXECUTE twice USING @a, @b, @c"))
    driver.run(conn, "DEALLOCATE PREPARE twice")
    fact("prepared.gone", error_of(driver, lambda: driver.run(conn, "EXECUTE twice USING @a, @b, @c")))
    conn.close()


CHAPTERS = (
    connect_chapter, types_chapter, blobs_chapter, transactions_chapter, errors_chapter, big_chapter,
    bulk_chapter, infile_chapter, procedures_chapter, times_chapter, kill_chapter,
)


def login_chapter(driver):
    try:
        conn = driver.connect()
    except Exception as error:
        fact(CHAPTER, (type(error).__name__, driver.number(error), "certificate verify failed" in str(error)))
    else:
        fact(CHAPTER, driver.value(conn, "SELECT 6 * 7"))
        conn.close()


def restart():
    """Has the proxy killed and started again."""
    with open(os.environ["ACKLINE_DB_READY"], "w"):
        pass
    wait_for("the proxy is there again", lambda: os.path.exists(os.environ["ACKLINE_DB_GO"]))


def restart_chapter(driver):
    """Connections that were open before, each made good again the driver's own way."""
    conns = [driver.connect() for _ in range(3)]
    driver.run(conns[0], "DROP TABLE IF EXISTS drv_restart")
    driver.run(conns[0], "CREATE TABLE drv_restart (id INT PRIMARY KEY)")
    driver.run(conns[0], "INSERT INTO drv_restart VALUES (1)")
    conns[0].commit()
    driver.run(conns[0], "INSERT INTO drv_restart VALUES (2)")
    restart()
    fact("restart.commit", "told" if error_of(driver, conns[0].commit) else "not told")
    for conn in conns:
        conn = driver.revive(conn)
        fact("restart.goes_on", driver.rows(conn, "SELECT id FROM drv_restart"))
        conn.close()


def run(driver):
    failed = 0
    chapters = CHAPTERS + tuple(driver.extras)
    if CHAPTER:
        chapters = (type(driver).restarted,) if CHAPTER == "restart" else (login_chapter,)
    for chapter in chapters:
        try:
            chapter(driver)
        except Exception as error:  # The others are still worth knowing.
            failed += 1
            fact(chapter.__name__, f"FAILED {type(error).__name__} {error}")
            traceback.print_exc()
    sys.stdout.flush()
    # Not the way by which drivers tidy up: after an error of their own some wait there for ever.
    os._exit(1 if failed else 0)
