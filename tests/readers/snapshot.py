"""Snapshots a table and streams on with mysql-replication, again and again; every row exactly once.

snapshot.py FLAVOR ROUNDS KEPT DATABASE APPLICATION_PORT REPLICATION_PORT USER PASSWORD

Clients insert `numbers (client, n, v)` with v = 0 and n = 1, 2, …; in the same transaction they add 1 to the
row before and delete the one KEPT rows before. What became of snapshot and stream is followed row by row.
"""
import json
import sys
import time
from collections import defaultdict

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

flavor, rounds, kept, database, application, replication, user, password = sys.argv[1:9]
rounds, kept = int(rounds), int(kept)
account = {"host": "127.0.0.1", "user": user, "password": password}
STATUS = {"mariadb": "SHOW MASTER STATUS", "mysql": "SHOW BINARY LOG STATUS"}[flavor]
GTIDS = {"mariadb": "SELECT @@gtid_binlog_pos", "mysql": "SELECT @@gtid_executed"}[flavor]
SERVER_ID = 7500


def connect(port):
    return pymysql.connect(port=int(port), database=database, autocommit=True, read_timeout=60, **account)


def rows(connection, question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


def snapshot(app, teller):
    """The table, where it stands in our binlog, and how long the lock took to come."""
    began = time.monotonic()
    rows(app, "FLUSH TABLES WITH READ LOCK")
    waited = time.monotonic() - began
    rows(app, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    rows(app, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
    file, position = rows(teller, STATUS)[0][:2]
    gtids = rows(teller, GTIDS)[0][0].replace("\n", "")
    rows(app, "UNLOCK TABLES")
    # Others write meanwhile.
    time.sleep(0.05)
    found = {(client, n): v for client, n, v in rows(app, "SELECT client, n, v FROM numbers")}
    rows(app, "COMMIT")
    return found, file, position, gtids, waited


def follow(stream, number, table):
    """Brings the table to where the marker of this round stands; how many rows came."""
    came = 0
    for event in stream:
        if event.table == "marker":
            if tuple(event.rows[0]["values"].values()) == (number,):
                return came
            raise SystemExit(f"round {number}: the marker {event.rows} came again")
        for row in event.rows:
            came += 1
            if isinstance(event, WriteRowsEvent):
                client, n, v = row["values"].values()
                if (client, n) in table:
                    raise SystemExit(f"round {number}: row {client}, {n} came twice")
                table[client, n] = v
                continue
            updates = isinstance(event, UpdateRowsEvent)
            client, n, v = row["before_values" if updates else "values"].values()
            if table.pop((client, n), None) != v:
                raise SystemExit(f"round {number}: row {client}, {n} is not {v} before its {type(event).__name__}")
            if updates:
                client, n, v = row["after_values"].values()
                table[client, n] = v
    raise SystemExit(f"round {number}: the stream ended")


def check(number, table, committed):
    """Of each client the last KEPT rows, each changed once but the last, and at least what was committed."""
    clients = defaultdict(dict)
    for (client, n), v in table.items():
        clients[client][n] = v
    for client, last in committed:
        found = clients[client]
        end = max(found, default=0)
        wanted = {n: int(n != end) for n in range(max(1, end - kept + 1), end + 1)}
        if found != wanted or end < last:
            raise SystemExit(f"round {number}: client {client} committed {last}; there is {sorted(found.items())}")


app, teller, marking = connect(application), connect(replication), connect(application)
total, longest = 0, 0
for number in range(rounds):
    table, file, position, gtids, waited = snapshot(app, teller)
    longest = max(longest, waited)
    if number % 2 == 0:
        start = {"log_file": file, "log_pos": position, "resume_stream": True}
    else:
        start = {"auto_position": gtids, "is_mariadb": flavor == "mariadb"}
    stream = BinLogStreamReader(
        connection_settings={"port": int(replication), **account},
        server_id=SERVER_ID,
        blocking=True,
        only_events=[DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent],
        slave_heartbeat=1,
        **start,
    )
    committed = rows(marking, "SELECT client, MAX(n) FROM numbers GROUP BY client")
    rows(marking, f"INSERT INTO marker VALUES ({number})")
    total += follow(stream, number, table)
    stream.close()
    check(number, table, committed)
print(json.dumps({"rounds": rounds, "streamed": total, "longest_lock_ms": int(longest * 1000)}))
