//! Makes on a target what a donor holds besides rows. Nothing of it is logged there.

use super::indexes::Later;
use super::object::{Account, Catalog, Kind, Object, account_name};
use super::target::{Error, named, run};
use crate::ids::Flavor;
use crate::net::admin::Admin;
use crate::tables::{Name, quoted};

pub async fn tables(admin: &mut Admin, catalog: &Catalog, later: &Later) -> Result<(), Error> {
    for (name, create) in &catalog.databases {
        let create = create.replacen("CREATE DATABASE", "CREATE DATABASE IF NOT EXISTS", 1);
        named(admin, &create, &format!("schema {name}")).await?;
    }
    for table in &catalog.tables {
        let name = &table.name;
        use_database(admin, name).await?;
        named(admin, later.create(table), &format!("table {name}")).await?;
    }
    Ok(())
}

/// In rounds, as one may need another. Views that cannot be made, and why: they may be broken at the donor, too.
/// Without any other thing rows would come to differ.
pub async fn objects(admin: &mut Admin, objects: &[Object]) -> Result<Vec<String>, Error> {
    let mut left: Vec<&Object> = objects.iter().collect();
    loop {
        let (mut failed, mut why) = (Vec::new(), Vec::new());
        for object in &left {
            match create(admin, object).await {
                Ok(()) => {}
                Err(error) if error.passes() => return Err(error),
                Err(error) => {
                    why.push((object.kind, error));
                    failed.push(*object);
                }
            }
        }
        if failed.is_empty() || failed.len() == left.len() {
            let grave = why.iter().position(|(kind, _)| *kind != Kind::View);
            return match grave {
                Some(at) => Err(why.swap_remove(at).1),
                None => Ok(why.iter().map(|(_, error)| error.to_string()).collect()),
            };
        }
        left = failed;
    }
}

async fn create(admin: &mut Admin, object: &Object) -> Result<(), Error> {
    use_database(admin, &object.name).await?;
    for setting in &object.settings {
        run(admin, setting).await?;
    }
    let made = named(admin, &object.statement(admin.flavor()), &object.shown()).await;
    run(admin, "SET NAMES utf8mb4").await?;
    run(
        admin,
        "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone='+00:00'",
    )
    .await?;
    made
}

/// Those that it has not; its own stay as they are.
pub async fn missing(admin: &mut Admin, accounts: &[Account]) -> Result<Vec<Account>, Error> {
    let users = match admin.flavor() {
        Flavor::MariaDb => "SELECT User, Host, is_role FROM mysql.user",
        Flavor::MySql => "SELECT User, Host, 'N' FROM mysql.user",
    };
    let there = admin.query(users).await?;
    let there = there.iter().map(|row| {
        let host = row.at(1).filter(|_| row.at(2) != Some("Y"));
        account_name(row.at(0).unwrap_or_default(), host)
    });
    let there: Vec<String> = there.collect();
    let is_missing = |account: &&Account| !there.contains(&account.name);
    Ok(accounts.iter().filter(is_missing).cloned().collect())
}

/// Of those that were to be made, what was made before the server went away.
pub async fn forget(
    admin: &mut Admin,
    accounts: &[Account],
    objects: &[Object],
) -> Result<(), Error> {
    for object in objects {
        let (word, name) = (object.kind.word(), object.name.quoted());
        run(admin, &format!("DROP {word} IF EXISTS {name}")).await?;
    }
    for account in accounts {
        let word = if is_role(account) { "ROLE" } else { "USER" };
        run(admin, &format!("DROP {word} IF EXISTS {}", account.name)).await?;
    }
    Ok(())
}

fn is_role(account: &Account) -> bool {
    account.create.starts_with("CREATE ROLE ")
}

/// What cannot be made or granted, and why.
pub async fn accounts(admin: &mut Admin, accounts: &[Account]) -> Result<Vec<String>, Error> {
    let mut left: Vec<&Account> = accounts.iter().collect();
    let (all, mut why) = (left.clone(), Vec::new());
    // A default role may be made later.
    loop {
        why.clear();
        let mut failed = Vec::new();
        for account in &left {
            if let Err(error) =
                secret(admin, &account.create, &format!("account {}", account.name)).await
            {
                if error.passes() {
                    return Err(error);
                }
                why.push(error.to_string());
                failed.push(*account);
            }
        }
        if failed.is_empty() || failed.len() == left.len() {
            break;
        }
        left = failed;
    }
    for account in &all {
        for grant in &account.grants {
            if let Err(error) = secret(admin, grant, &format!("a grant of {}", account.name)).await
            {
                if error.passes() {
                    return Err(error);
                }
                why.push(error.to_string());
            }
        }
    }
    // Whoever makes one of MariaDB's gets it, and it is not ours.
    for role in all.iter().filter(|account| is_role(account)) {
        let revoke = format!("REVOKE {} FROM CURRENT_USER", role.name);
        if let Err(error) = run(admin, &revoke).await
            && error.passes()
        {
            return Err(error);
        }
    }
    Ok(why)
}

/// One with a password's hash, of which a server's error may quote a part.
async fn secret(admin: &mut Admin, statement: &str, what: &str) -> Result<(), Error> {
    match named(admin, statement, what).await {
        Err(Error::Statement { source, .. }) if source.server_code().is_some() => {
            Err(Error::Hidden {
                what: what.to_owned(),
                code: source.server_code().unwrap_or_default(),
            })
        }
        done => done,
    }
}

async fn use_database(admin: &mut Admin, name: &Name) -> Result<(), Error> {
    run(admin, &format!("USE {}", quoted(&name.database))).await
}
