//! A server's `my.cnf`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::installation::Installation;
use super::plan::Plan;
use super::server::Server;
use crate::ids::Flavor;

const MARIADB: &str = "\
innodb_log_file_size = 96M
aria_pagecache_buffer_size = 8M

log_slave_updates
binlog_annotate_row_events
gtid_strict_mode
slave_net_timeout = 10
# As good as for ever. With 0 it ends for good at the second loss in a row (seen: a stop that cut its dump, and again the
# next one before an event was sent).
master_retry_count = 1000000

# A server that was the source may come back as a replica, and the other way round: each boots as
# a replica that nobody writes to, and Ackline raises the one that is the source.
read_only
rpl_semi_sync_slave_enabled
skip_rpl_semi_sync_master_enabled
";

const MYSQL: &str = "\
innodb_redo_log_capacity = 96M
mysqlx = OFF
# Debian's default is a folder that only its service has.
secure_file_priv =

log_replica_updates
binlog_rows_query_log_events
gtid_mode = ON
enforce_gtid_consistency = ON
replica_net_timeout = 10

# A server that was the source may come back as a replica, and the other way round: each boots as
# a replica that nobody writes to, and Ackline raises the one that is the source.
read_only = ON
super_read_only = ON
plugin_load_add = semisync_source.so
plugin_load_add = semisync_replica.so
rpl_semi_sync_replica_enabled = ON
rpl_semi_sync_source_enabled = OFF
";

/// What fits into `sockaddr_un`, with its NUL.
const SOCKET_PATH: usize = 108;

pub(super) fn text(server: &Server, plan: &Plan, installation: &Installation) -> String {
    let dir = server.dir.display();
    let socket = match plan.flavor {
        Flavor::MariaDb => socket(&server.dir),
        // None: a MySQL that was killed does not start again while the pid in the socket's lock file is
        // of any process, be it one that is only just dying.
        Flavor::MySql => PathBuf::new(),
    };
    let socket = socket.display();
    let (port, id) = (server.port, server.id);
    let user = &plan.admin.user;
    let password = &plan.admin.password;
    let client = installation.client();
    let client = client.display();
    let (group, own) = match plan.flavor {
        Flavor::MariaDb => ("mariadbd", MARIADB),
        Flavor::MySql => ("mysqld", MYSQL),
    };
    // The program refuses to run as root unless it is told so.
    let run_as = if rustix::process::geteuid().is_root() {
        "user = root\n"
    } else {
        ""
    };
    let mut text = format!(
        "\
# Written by `ackline sandbox up`, once: edit it, then stop and start the sandbox.
# `{client} --defaults-file=<this file>` logs in as the administrator.

[client]
protocol = tcp
host = 127.0.0.1
port = {port}
user = {user}
password = {password}

[{group}]
{run_as}\
datadir = {dir}/data
# Its own: a server that starts removes what it takes for leftovers from a shared one.
tmpdir = {dir}/tmp
socket = {socket}
pid_file = {dir}/server.pid
log_error = {dir}/server.log
bind_address = 127.0.0.1
port = {port}
server_id = {id}
skip_name_resolve
character_set_server = utf8mb4
max_connections = 500
max_allowed_packet = 1G

# Every commit is on disk, in the engine and in the binlog, before it is answered.
innodb_flush_log_at_trx_commit = 1
sync_binlog = 1

log_bin = bin
binlog_format = MIXED
binlog_checksum = CRC32

relay_log = relay
# A relay log torn by a power cut must not keep the replica from starting: with GTID it asks again
# from what it has applied.
relay_log_recovery

performance_schema = OFF
innodb_buffer_pool_size = 128M
key_buffer_size = 1M
{own}"
    );
    if !plan.server_options.is_empty() {
        text.push_str("\n# --server-option\n");
        for option in &plan.server_options {
            text.push_str(option.trim_start_matches('-'));
            text.push('\n');
        }
    }
    text
}

/// Absolute where it fits, else seen from the data directory, which is where the server stands.
fn socket(dir: &Path) -> PathBuf {
    let absolute = dir.join("sock");
    if absolute.as_os_str().as_bytes().len() < SOCKET_PATH {
        absolute
    } else {
        PathBuf::from("../sock")
    }
}
