"""PyMySQL: text protocol only; what it prepares, it prepares in SQL."""

import pymysql
import pymysql.cursors
from pymysql.constants import CLIENT, FIELD_TYPE

import facts
from facts import fact


class PyMySQL(facts.Driver):
    Error = pymysql.err.Error

    def connect(self, **options):
        options = {"password": facts.PASSWORD, "database": facts.DATABASE, **options}
        if facts.TLS_CA:
            options.update(ssl_ca=facts.TLS_CA, ssl_verify_cert=True)
        else:
            options.update(ssl_disabled=True)
        return pymysql.connect(host=facts.HOST, port=facts.PORT, user=facts.USER, charset="utf8mb4", **options)

    def procedure(self, conn):
        cursor = conn.cursor()
        cursor.callproc("drv_procedure", (21, 0, 8))
        fact("procedure.first", cursor.fetchall())
        fact("procedure.more", cursor.nextset())
        fact("procedure.second", cursor.fetchall())
        # The status of the CALL itself.
        fact("procedure.end", (cursor.nextset(), cursor.nextset()))
        cursor.execute("SELECT @_drv_procedure_0, @_drv_procedure_1, @_drv_procedure_2")
        fact("procedure.out", cursor.fetchall())

    def revive(self, conn):
        conn.ping(reconnect=True)
        return conn

    def reconnect(self, conn):
        conn.ping(reconnect=True)
        fact("kill.reconnect", self.value(conn, "SELECT 4"))
        conn.close()


def multi_statements(driver):
    conn = driver.connect(client_flag=CLIENT.MULTI_STATEMENTS)
    cursor = conn.cursor()
    cursor.execute("SELECT 1; SELECT 2, 'b'; DO 0; SELECT 3")
    results = [cursor.fetchall()]
    while cursor.nextset():
        results.append(cursor.fetchall())
    fact("multi.results", results)
    cursor.execute("SELECT 1; SELECT * FROM drv_nowhere; SELECT 3")
    fact("multi.before_error", cursor.fetchall())
    fact("multi.error", facts.error_of(driver, cursor.nextset))
    cursor.close()
    fact("multi.goes_on", driver.value(conn, "SELECT 4"))
    conn.close()


def streaming(driver):
    conn = driver.connect(cursorclass=pymysql.cursors.SSCursor)
    cursor = conn.cursor()
    cursor.execute(facts.BIG)
    fact("stream.first", cursor.fetchone())
    fact("stream.rest", sum(1 for _ in cursor))
    cursor.close()
    # Closed in the middle: the driver reads the rest away.
    cursor = conn.cursor()
    cursor.execute(facts.BIG)
    cursor.fetchmany(10)
    cursor.close()
    fact("stream.after", driver.value(conn, "SELECT 5"))
    conn.close()


def others(driver):
    conn = driver.connect(cursorclass=pymysql.cursors.DictCursor)
    cursor = conn.cursor()
    cursor.execute("SELECT 1 AS one, NULL AS none, 'x' AS letter")
    fact("dict", sorted((name, facts.shown(value)) for name, value in cursor.fetchone().items()))
    fact("description", [(column[0], column[1] == FIELD_TYPE.NULL, column[6]) for column in cursor.description])
    cursor.close()
    conn.close()
    conn = driver.connect(init_command="SET @mine = 7", autocommit=True, binary_prefix=True, read_timeout=60)
    fact("init_command", driver.value(conn, "SELECT @mine"))
    fact("binary_prefix", driver.value(conn, "SELECT HEX(%s)", (b"\x00\xff'",)))
    conn.select_db("information_schema")
    fact("select_db", driver.value(conn, "SELECT DATABASE()"))
    fact("escape", conn.escape(facts.TEXT))
    conn.close()


PyMySQL.extras = (facts.prepared_in_sql, multi_statements, streaming, others)
facts.run(PyMySQL())
