//! `ackline sandbox up|status|down`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::ids::Flavor;
use crate::sandbox::{self, Manifest, Request};

const DIR: &str = "./sandbox";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Starts whatever does not run, and returns when a commit through the proxy works.
    Up(Up),
    /// Which parts run; exit status 1 if one does not.
    Status(Dir),
    /// Stops everything and keeps the data.
    Down(Dir),
}

#[derive(Debug, Args)]
pub(super) struct Up {
    /// Which servers: mariadb or mysql [default: mariadb].
    #[arg(long, value_name = "FLAVOR")]
    flavor: Option<Flavor>,
    /// Replicas that pull from the proxy [default: 2].
    #[arg(long, value_name = "N")]
    replicas: Option<u16>,
    /// Replicas that are pushed to.
    #[arg(long, value_name = "M", hide = true, default_value_t = 0)]
    push: u16,
    /// Witnesses.
    #[arg(long, value_name = "W", hide = true, default_value_t = 0)]
    witness: u16,
    /// async, semi-sync, quorum or sync [default: semi-sync].
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    #[command(flatten)]
    dir: Dir,
    /// The proxy's port P; replication P+1, admin P+2, source P+10, replicas P+11 and on
    /// [default: 13306].
    #[arg(long, value_name = "P")]
    port: Option<u16>,
    /// An option for every server it starts, like sync_relay_log=1; can be repeated.
    #[arg(long = "server-option", value_name = "OPT", allow_hyphen_values = true)]
    server_options: Vec<String>,
    /// Servers of another version: the folder that has bin/mariadbd or bin/mysqld.
    #[arg(long, value_name = "DIR")]
    server_root: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Dir {
    /// Where everything of the sandbox lies.
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
}

impl Action {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(up) => up.run().await,
            Self::Status(dir) => status(&dir.dir),
            Self::Down(dir) => Ok(sandbox::down(&dir.dir, &progress).await?),
        }
    }
}

impl Up {
    async fn run(self) -> Result<(), Failure> {
        for (option, count) in [("--push", self.push), ("--witness", self.witness)] {
            if count > 0 {
                return Err(Failure::Usage(anyhow::anyhow!(
                    "{option} is not supported yet"
                )));
            }
        }
        let request = Request {
            dir: self.dir.dir,
            flavor: self.flavor,
            replicas: self.replicas,
            mode: self.mode,
            port: self.port,
            server_options: self.server_options,
            server_root: self.server_root,
        };
        match sandbox::up(&request, &progress).await {
            Ok(manifest) => {
                print!("{}", welcome(&manifest));
                Ok(())
            }
            Err(error) if error.is_usage() => Err(Failure::Usage(error.into())),
            Err(error) => Err(error.into()),
        }
    }
}

fn progress(line: &str) {
    eprintln!("sandbox: {line}");
}

fn welcome(manifest: &Manifest) -> String {
    let app = &manifest.app;
    let config = manifest.config.display();
    // As it was called: it need not be on the path.
    let ackline = std::env::args().next().unwrap_or_else(|| "ackline".into());
    format!(
        "\
A commit through the proxy works. Connect to it:

  {client} -h{host} -P{port} -u{user} -p{password} {database}
  mysql://{user}:{password}@{host}:{port}/{database}

Next, try:
  {ackline} status --watch --config {config}    # who has acknowledged what
  {ackline} mode quorum --config {config}       # a majority instead, while traffic runs
  kill -STOP {replicas}; …; kill -CONT {replicas}    # replicas that stop answering: a commit waits for them

Everything a script needs is in {path}; `{ackline} sandbox down --dir {dir}` stops it all.
",
        client = manifest.client.display(),
        host = app.host,
        port = app.port,
        user = app.user,
        password = app.password,
        database = app.database,
        replicas = manifest
            .replicas
            .iter()
            .map(|replica| replica.database.pid.to_string())
            .collect::<Vec<_>>()
            .join(" "),
        path = manifest.path.display(),
        dir = manifest.dir().display(),
    )
}

fn status(dir: &std::path::Path) -> Result<(), Failure> {
    let parts = sandbox::status(dir)?;
    for part in &parts {
        let state = match part.pid {
            Some(pid) => format!("runs, pid {pid}"),
            None => "does not run".to_owned(),
        };
        println!("{:<10} 127.0.0.1:{:<6} {state}", part.name, part.port);
    }
    match parts.iter().find(|part| part.pid.is_none()) {
        Some(part) => Err(anyhow::anyhow!("{} does not run", part.name).into()),
        None => Ok(()),
    }
}
