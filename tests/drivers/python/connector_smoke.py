"""mysql-connector-python, in pure Python: its C extension wants a newer C library than Debian 12 has."""

import mysql.connector
import mysql.connector.pooling
from mysql.connector.constants import ClientFlag

import facts
from facts import fact


class Connector(facts.Driver):
    Error = mysql.connector.Error
    local_infile = {"allow_local_infile": True}

    def options(self, **options):
        tls = {"ssl_ca": facts.TLS_CA, "ssl_verify_cert": True} if facts.TLS_CA else {"ssl_disabled": True}
        return {
            "host": facts.HOST, "port": facts.PORT, "user": facts.USER, "password": facts.PASSWORD,
            "database": facts.DATABASE, "charset": "utf8mb4", "collation": "utf8mb4_general_ci",
            "connection_timeout": 60, "use_pure": True, **tls, **options}

    def connect(self, **options):
        return mysql.connector.connect(**self.options(**options))

    def number(self, error):
        return error.errno

    def procedure(self, conn):
        cursor = conn.cursor()
        fact("procedure.out", cursor.callproc("drv_procedure", (21, 0, 8)))
        fact("procedure.results", [result.fetchall() for result in cursor.stored_results()])
        cursor.close()

    def revive(self, conn):
        conn.ping(reconnect=True, attempts=3)
        return conn

    def restarted(self):
        pool = mysql.connector.pooling.MySQLConnectionPool(pool_size=3, **self.options())
        for conn in [pool.get_connection() for _ in range(3)]:
            conn.close()
        facts.restart_chapter(self)
        # It looks at a connection before it hands it out.
        for conn in [pool.get_connection() for _ in range(3)]:
            fact("restart.pool", self.value(conn, "SELECT 4"))
            conn.close()

    def reconnect(self, conn):
        fact("kill.is_connected", conn.is_connected())
        conn.reconnect(attempts=3, delay=0)
        fact("kill.reconnect", self.value(conn, "SELECT 4"))
        conn.close()


def prepared_run(conn, sql, arguments=None):
    cursor = conn.cursor(prepared=True)
    cursor.execute(sql, arguments)
    count = cursor.rowcount
    cursor.close()
    return count


def prepared_rows(conn, sql, arguments=None):
    cursor = conn.cursor(prepared=True)
    cursor.execute(sql, arguments)
    rows = cursor.fetchall()
    cursor.close()
    return rows


def prepared_types(driver):
    # In pure Python it cannot read a YEAR of the binary protocol.
    columns = ", ".join("year_ + 0" if name == "year_" else name for name in facts.NAMES)
    facts.types_chapter(driver, "prepared", prepared_run, prepared_rows, columns)


def prepared(driver):
    conn = driver.connect()
    cursor = conn.cursor(prepared=True)
    for number in (1, None, 3):
        cursor.execute("SELECT ? + 1, CONCAT(?, '!')", (number, facts.TEXT))
        fact(f"prepared.{number}", cursor.fetchall())
    cursor.execute(facts.BIG)
    fact("prepared.big", sum(row[0] for row in cursor.fetchall()))
    cursor.close()
    fact("prepared.error", facts.error_of(driver, lambda: prepared_rows(conn, "SELECT * FROM drv_nowhere WHERE id = ?", (1,))))
    # COM_STMT_SEND_LONG_DATA. What is longer than a packet the driver itself cuts off.
    long = facts.LARGE[:8_000_000]
    driver.run(conn, "DROP TABLE IF EXISTS drv_long")
    driver.run(conn, "CREATE TABLE drv_long (id INT, data LONGBLOB)")
    prepared_run(conn, "INSERT INTO drv_long VALUES (?, ?)", (1, long))
    conn.commit()
    fact("prepared.long", prepared_rows(conn, "SELECT data FROM drv_long WHERE id = ?", (1,)))
    driver.run(conn, "DROP TABLE drv_long")
    conn.close()


def multi_statements(driver):
    conn = driver.connect()
    cursor = conn.cursor()
    cursor.execute("SELECT 1; SELECT 2, 'b'; DO 0; SELECT 3")
    results = [cursor.fetchall()]
    while cursor.nextset():
        results.append(cursor.fetchall() if cursor.description else "no rows")
    fact("multi.results", results)

    def failing():
        cursor.execute("SELECT 1; SELECT * FROM drv_nowhere; SELECT 3")
        fact("multi.before_error", cursor.fetchall())
        cursor.nextset()
    fact("multi.error", facts.error_of(driver, failing))
    conn.close()


def streaming(driver):
    conn = driver.connect()
    cursor = conn.cursor(buffered=False)
    cursor.execute(facts.BIG)
    fact("stream.first", cursor.fetchone()[0])
    fact("stream.rest", sum(1 for _ in cursor))
    cursor.close()
    conn.close()


def sessions(driver):
    conn = driver.connect()
    driver.run(conn, "SET @mine = 7")
    conn.reset_session(user_variables={"other": 8})
    fact("session.reset", driver.rows(conn, "SELECT @mine, @other"))
    conn.cmd_change_user(facts.USER, facts.PASSWORD, "information_schema")
    fact("session.change_user", driver.rows(conn, "SELECT @other, DATABASE()"))
    fact("session.refused", facts.error_of(driver, lambda: conn.cmd_change_user(facts.USER, "wrong", facts.DATABASE)))
    conn.close()
    conn = driver.connect()
    # The driver compresses without looking whether the other side offers it.
    offered = bool(conn._handshake["capabilities"] & ClientFlag.COMPRESS)
    conn.close()
    conn = driver.connect(compress=offered)
    fact("session.compress", len(driver.value(conn, "SELECT REPEAT('z', 1000000)")))
    conn.close()
    conn = driver.connect(client_flags=[ClientFlag.FOUND_ROWS], autocommit=True, sql_mode="", time_zone="+03:00", get_warnings=True)
    driver.run(conn, "DROP TABLE IF EXISTS drv_found")
    driver.run(conn, "CREATE TABLE drv_found (id INT)")
    driver.run(conn, "INSERT INTO drv_found VALUES (1)")
    fact("session.found_rows", driver.run(conn, "UPDATE drv_found SET id = 1"))
    cursor = conn.cursor()
    cursor.execute("SELECT 1 / 0")
    cursor.fetchall()
    fact("session.warnings", (cursor.warning_count, [one[1] for one in cursor.fetchwarnings() or ()]))
    fact("session.time_zone", driver.value(conn, "SELECT @@time_zone"))
    driver.run(conn, "DROP TABLE drv_found")
    conn.close()


Connector.extras = (prepared_types, prepared, multi_statements, streaming, sessions)
facts.run(Connector())
