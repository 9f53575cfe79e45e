"""Counts rows by table and kind with mysql-replication, until a row comes into `marker`.

reader.py PORT USER PASSWORD SERVER_ID (FILE POSITION | mariadb GTID_LIST | mysql GTID_SET)
"""
import json
import sys
from collections import Counter

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

port, user, password, server_id, where, position = sys.argv[1:7]
if where == "mariadb":
    start = {"is_mariadb": True, "auto_position": position}
elif where == "mysql":
    start = {"auto_position": position}
else:
    start = {"log_file": where, "log_pos": int(position), "resume_stream": True}
stream = BinLogStreamReader(
    connection_settings={"host": "127.0.0.1", "port": int(port), "user": user, "passwd": password},
    server_id=int(server_id),
    blocking=True,
    only_events=[DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent],
    slave_heartbeat=1,
    **start,
)
counts = Counter()
for event in stream:
    if event.table == "marker":
        break
    kind = {WriteRowsEvent: "insert", UpdateRowsEvent: "update", DeleteRowsEvent: "delete"}[type(event)]
    counts[f"{event.table} {kind}"] += len(event.rows)
stream.close()
print(json.dumps(counts))
