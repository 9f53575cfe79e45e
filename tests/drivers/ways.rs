//! A source, the proxy before it, and the ways to them.

use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::{Account, Database, Flavor, Part, SOON, Sandbox, wait_until};

/// Those of the two ways, each its own, so that they can be gone side by side; and one for each driver
/// that sees the proxy go.
const DIRECT: &str = "drivers_direct";
const PROXIED: &str = "drivers_proxied";
const RESTARTS: &str = "drivers_restart";

/// Where a driver connects to.
#[derive(Clone)]
pub struct Way {
    pub name: &'static str,
    pub flavor: Flavor,
    pub account: Account,
    pub tls_ca: Option<String>,
}

impl Way {
    /// The same for one of those that are gone at a time.
    pub fn in_lane(&self, number: usize) -> Self {
        let database = self.account.database.as_ref().unwrap();
        let database = format!("{database}_{number}");
        Self {
            account: Account {
                database: Some(database),
                ..self.account.clone()
            },
            ..self.clone()
        }
    }

    /// The table of the sessions. MySQL's in `information_schema` cannot be read while any session's
    /// statement is no text, as one with a blob is.
    pub fn processes(&self) -> &'static str {
        match self.flavor {
            Flavor::MariaDb => "information_schema.PROCESSLIST",
            Flavor::MySql => "performance_schema.processlist",
        }
    }
}

/// Both ways to one source.
pub struct Ways {
    pub flavor: Flavor,
    pub direct: Way,
    pub proxied: Way,
    own: Option<Own>,
}

/// A sandbox of ours.
struct Own {
    sandbox: Sandbox,
    certificates: Certificates,
}

/// One certificate for servers and proxy, as both have the same address.
struct Certificates {
    folder: TempDir,
    ca: String,
    cert: String,
    key: String,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        let ours = authority.issue("ours");
        Self {
            ca: authority.cert().display().to_string(),
            cert: ours.cert.display().to_string(),
            key: ours.key.display().to_string(),
            folder,
        }
    }

    /// Somebody else's, who has signed none of ours.
    fn other_ca(&self) -> String {
        let other = Authority::new(self.folder.path(), "other");
        other.cert().display().to_string()
    }
}

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the ways are somebody else's addresses.
pub fn are_given() -> bool {
    given("ACKLINE_DIRECT").is_some() && given("ACKLINE_PROXIED").is_some()
}

fn way(
    name: &'static str,
    flavor: Flavor,
    account: &Account,
    database: &str,
    tls_ca: Option<String>,
) -> Way {
    Way {
        name,
        flavor,
        account: Account {
            database: Some(database.to_owned()),
            ..account.clone()
        },
        tls_ca,
    }
}

async fn create_databases(admin: &mut Database) {
    for database in [DIRECT, PROXIED] {
        for lane in ["", "_0", "_1"] {
            let create = format!("CREATE DATABASE IF NOT EXISTS {database}{lane}");
            admin.run(&create).await;
        }
    }
}

impl Ways {
    pub async fn open(flavor: Flavor) -> Self {
        if are_given() {
            return Self::of_others(flavor).await;
        }
        let certificates = Certificates::new();
        let (cert, key) = (&certificates.cert, &certificates.key);
        let (cert, key) = (format!("ssl_cert={cert}"), format!("ssl_key={key}"));
        let name = flavor.to_string();
        let mut options = vec!["--mode", "semi-sync", "--flavor", &name];
        for option in [&cert, &key, "local_infile=1"] {
            options.extend(["--server-option", option]);
        }
        if flavor == Flavor::MySql {
            options.extend(["--server-option", "performance_schema=ON"]);
        }
        let sandbox = Sandbox::up(&options).await;
        let source = sandbox.source();
        // The same account both ways: what it may do is a part of what drivers see.
        let direct = Account {
            host: source.host.clone(),
            port: source.port,
            ..sandbox.app().clone()
        };
        let mut admin = source.connect().await;
        create_databases(&mut admin).await;
        let grant = format!("GRANT ALL ON `drivers\\_%`.* TO {}@'%'", direct.user);
        admin.run(&grant).await;
        Self {
            flavor,
            direct: way("directly", flavor, &direct, DIRECT, None),
            proxied: way("proxied", flavor, sandbox.app(), PROXIED, None),
            own: Some(Own {
                sandbox,
                certificates,
            }),
        }
    }

    async fn of_others(flavor: Flavor) -> Self {
        let account = |name| account(&given(name).unwrap());
        let (direct, proxied) = (account("ACKLINE_DIRECT"), account("ACKLINE_PROXIED"));
        let mut admin = direct.connect().await;
        create_databases(&mut admin).await;
        let (direct_ca, proxied_ca) = ("ACKLINE_DIRECT_TLS_CA", "ACKLINE_PROXIED_TLS_CA");
        Self {
            flavor,
            direct: way("directly", flavor, &direct, DIRECT, given(direct_ca)),
            proxied: way("proxied", flavor, &proxied, PROXIED, given(proxied_ca)),
            own: None,
        }
    }

    pub fn are_ours(&self) -> bool {
        self.own.is_some()
    }

    fn own(&self) -> &Own {
        self.own.as_ref().expect("a sandbox of ours")
    }

    /// `caching_sha2_password`: the next login is the account's first since the server's start.
    pub async fn forget_logins(&self) {
        let mut admin = self.own().sandbox.source().connect().await;
        admin.run("FLUSH LOCAL PRIVILEGES").await;
    }

    /// The next login is not the first.
    pub async fn remember_logins(&self) {
        self.direct.account.connect().await;
    }

    /// The proxy, killed and started again.
    pub async fn restart_proxy(&self) {
        let sandbox = &self.own().sandbox;
        sandbox.kill(Part::Proxy);
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        self.lets_in(true).await;
    }

    /// Proxied, in a database of its own.
    pub async fn beside(&self, number: usize) -> Way {
        let database = format!("{RESTARTS}_{number}");
        let mut admin = self.own().sandbox.source().connect().await;
        admin.run(&format!("CREATE DATABASE {database}")).await;
        way(
            "restarted",
            self.flavor,
            &self.proxied.account,
            &database,
            None,
        )
    }

    /// The proxy again, with a certificate and for TLS only: a driver that gets in is encrypted. Its own
    /// connections to MySQL are encrypted too, as `caching_sha2_password` differs by channel.
    pub async fn require_tls(&self) -> TlsWays {
        let Own {
            sandbox,
            certificates,
        } = self.own();
        let towards_us = format!(
            "\n[tls]\nmode = \"required\"\nreplication = \"off\"\ncert = {:?}\nkey = {:?}\n",
            certificates.cert, certificates.key,
        );
        let clear = sandbox.config();
        let config = match self.flavor {
            Flavor::MariaDb => clear,
            Flavor::MySql => clear.replace("[[server]]", "[[server]]\ntls = \"required\""),
        };
        sandbox.stop(Part::Proxy);
        // Replicas stay as they are: in clear, which MariaDB 11.8's have to be told.
        if self.flavor == Flavor::MariaDb {
            for replica in sandbox.replicas() {
                let mut replica = replica.connect().await;
                replica.run("STOP SLAVE").await;
                let in_clear = "CHANGE MASTER TO MASTER_SSL=0, MASTER_SSL_VERIFY_SERVER_CERT=0";
                replica.run(in_clear).await;
                replica.run("START SLAVE").await;
            }
        }
        sandbox.save_config(&(config + &towards_us));
        sandbox.start(Part::Proxy);
        sandbox.serves().await;
        self.lets_in(false).await;
        let over_tls = |name, way: &Way, database: &str| {
            self::way(
                name,
                self.flavor,
                &way.account,
                database,
                Some(certificates.ca.clone()),
            )
        };
        TlsWays {
            direct: over_tls("directly over TLS", &self.direct, DIRECT),
            proxied: over_tls("proxied over TLS", &self.proxied, PROXIED),
            wrong_ca: certificates.other_ca(),
        }
    }

    /// Waits until the proxy lets in, or refuses, who is not encrypted.
    async fn lets_in(&self, wanted: bool) {
        let account = &self.proxied.account;
        let clear = || {
            Command::new("mariadb")
                .args(["--no-defaults", "--skip-ssl", "--execute=SELECT 1"])
                .arg(format!("--host={}", account.host))
                .arg(format!("--port={}", account.port))
                .arg(format!("--user={}", account.user))
                .env("MYSQL_PWD", &account.password)
                .stdin(Stdio::null())
                .output()
                .expect("mariadb")
        };
        let what = format!("the proxy lets in what is not encrypted: {wanted}");
        wait_until(&what, SOON, async || {
            let output = clear();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() == wanted && (wanted || told.contains("ERROR 3159")) {
                Ok(())
            } else {
                Err(told)
            }
        })
        .await;
    }

    /// Replicas hold what the drivers did.
    pub async fn assert_equal(&self) {
        if let Some(own) = &self.own {
            own.sandbox.assert_equal().await;
        }
    }
}

pub struct TlsWays {
    pub direct: Way,
    pub proxied: Way,
    /// An authority's certificate that says nothing about ours.
    pub wrong_ca: String,
}

/// `user:password@host:port`.
fn account(text: &str) -> Account {
    let parse = || {
        let (login, address) = text.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Account {
            host: host.to_owned(),
            port: port.parse().ok()?,
            user: user.to_owned(),
            password: password.to_owned(),
            database: None,
        })
    };
    parse().expect("user:password@host:port")
}
