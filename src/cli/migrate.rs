//! `ackline migrate [--print]`: what the source lacks of the schema `ackline` is applied, or shown.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::Failure;
use super::doctor;
use crate::app;
use crate::config::Config;
use crate::crash;
use crate::ids::Flavor;
use crate::migrations::{self, Error, Migration, known};
use crate::net::admin::Admin;
use crate::units::parse_duration;

const DEADLINE: Duration = Duration::from_secs(30);
const ANSWERS: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The SQL that would be run; nothing is changed.
    #[arg(long)]
    print: bool,
    /// With --print, where the source does not answer: mariadb or mysql.
    #[arg(long, requires = "print")]
    flavor: Option<Flavor>,
    /// How long a statement may take, its acknowledgements included.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "print")]
    deadline: Option<Duration>,
}

pub(super) async fn run(path: &Path, args: &Args) -> Result<(), Failure> {
    let config = match args.print {
        true => doctor::silently_present(path).await?.config,
        false => doctor::present(path).await?.config,
    };
    let name = &config.source().name;
    let reached = connect(&config).await;
    if args.print {
        let missing = match (reached, args.flavor) {
            (Ok(admin), flavor) => of_source(&config, admin, flavor).await?,
            (Err(_), Some(flavor)) => known(flavor),
            (Err(error), None) => {
                return Err(error
                    .context("--flavor says what is to be printed where nobody does")
                    .into());
            }
        };
        print!("{}", printed(missing));
        return Ok(());
    }
    crash::step("migrate");
    let (mut admin, mut applied) = (reached?, 0);
    let deadline = args.deadline.unwrap_or(DEADLINE);
    let done = migrations::apply(&mut admin, deadline, |migration| {
        applied += 1;
        println!("{name}: {} applied", migration.name);
    });
    done.await.map_err(|error| refused(&config, error))?;
    admin.close().await;
    if applied == 0 {
        println!("{name}: nothing to do");
    }
    Ok(())
}

async fn connect(config: &Config) -> anyhow::Result<Admin> {
    let source = app::server_config(config.source());
    Admin::connect(&source.account, ANSWERS)
        .await
        .with_context(|| format!("{} does not answer", source.name))
}

async fn of_source(
    config: &Config,
    mut admin: Admin,
    flavor: Option<Flavor>,
) -> Result<&'static [Migration], Failure> {
    let its = admin.flavor();
    if flavor.is_some_and(|flavor| flavor != its) {
        let name = &config.source().name;
        return Err(Failure::Usage(anyhow!("{name} is a {its} server")));
    }
    let missing = migrations::missing(&mut admin).await;
    Ok(missing.map_err(|error| refused(config, error))?)
}

fn refused(config: &Config, error: Error) -> anyhow::Error {
    anyhow::Error::new(error).context(config.source().name.to_string())
}

/// As a client of the server reads it.
fn printed(missing: &[Migration]) -> String {
    if missing.is_empty() {
        return "-- nothing to do\n".to_owned();
    }
    let files = missing.iter().map(|migration| {
        format!(
            "-- {}.sql\n{}\n{};\n",
            migration.name,
            migration.sql,
            migration.row()
        )
    });
    files.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_ends_with_the_row() {
        let text = printed(known(Flavor::MySql));
        assert!(text.starts_with("-- 0001_schema.sql\n"), "{text}");
        assert!(text.ends_with("UTC_TIMESTAMP(6));\n"), "{text}");
        assert_eq!(printed(&[]), "-- nothing to do\n");
    }
}
