//! All tests of the standard harness, in one program that is linked once: a module is what one test
//! program used to be. `tests/run.sh` runs each module in a process of its own, so that a server that its
//! tests share, what they count of the process, and the machine's two cores are theirs alone.
//!
//! `cargo test --test suite NAME::` runs one module; give it RUST_TEST_THREADS=1.

// A test that cannot go on shall stop where it is.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod binlog_equality;
mod compression;
mod deploy_scripts;
mod differential;
mod doctor_mariadb;
mod drivers_rust;
mod e2e_adopt;
mod e2e_beyond_4_gib;
mod e2e_binlog_audit;
mod e2e_binlog_replay;
mod e2e_client;
mod e2e_drain;
mod e2e_encrypted;
mod e2e_events;
mod e2e_failing_disk;
mod e2e_hazards;
mod e2e_hold;
mod e2e_identity;
mod e2e_incident;
mod e2e_kill;
mod e2e_limits;
mod e2e_migrate;
mod e2e_move_rounds;
mod e2e_moves;
mod e2e_mysql;
mod e2e_power_loss;
mod e2e_provision;
mod e2e_purge;
mod e2e_rejoin;
mod e2e_reload;
mod e2e_replicas;
mod e2e_requirement;
mod e2e_restored;
mod e2e_sync_modes;
mod e2e_sysbench;
mod e2e_trace;
mod e2e_verify;
mod e2e_wrong_source;
mod event_literals;
mod event_mutations;
mod event_mysqlbinlog;
mod floors;
mod fuzz;
mod hiding;
mod limits;
mod multi_factor;
mod proxy_protocol;
mod query_attributes;
mod readers;
mod readers_snapshot;
mod sandbox_lifecycle;
mod sandbox_mysql;
mod second_reader;
mod session_auth;
mod session_clients;
mod session_gate;
mod session_hazards;
mod session_requirement;
mod session_sysbench;
mod sql_statements;
mod tls_clients;
mod tls_mysql;
mod tls_own;
mod tls_replication;
mod tls_servers;
mod unsafe_statements;
