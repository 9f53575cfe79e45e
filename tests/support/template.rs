//! Data directories for sandboxes out of one installation: MySQL's takes most of what a sandbox takes to come up.
//!
//! A sandbox's own `up` goes on from what is in its folder, so it is given a plan with the passwords of that
//! installation, and a whole `template`. The installation is another sandbox's, whose servers never started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::ports::Ports;
use super::sandbox::{ACKLINE, run};

/// What each sandbox decides for itself, whatever it was installed from.
struct Asked<'a> {
    flavor: &'a str,
    replicas: u16,
    mode: &'a str,
    server_options: Vec<&'a str>,
    server_root: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// None where there is an option that is not known here.
    fn of(options: &[&'a str]) -> Option<Self> {
        let mut asked = Self {
            flavor: "mariadb",
            replicas: 2,
            mode: "semi-sync",
            server_options: Vec::new(),
            server_root: None,
        };
        for pair in options.chunks(2) {
            let [name, value] = *pair else { return None };
            match name {
                "--flavor" => asked.flavor = value,
                "--replicas" => asked.replicas = value.parse().ok()?,
                "--mode" => asked.mode = value,
                "--server-option" => asked.server_options.push(value),
                "--server-root" => asked.server_root = Some(value),
                _ => return None,
            }
        }
        Some(asked)
    }

    /// The folder of this server's installations, and which of them: another build of ours may want other accounts.
    fn place(&self) -> Option<(PathBuf, String)> {
        let stamp = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            let modified = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(format!("{}-{}", modified.as_nanos(), meta.len()))
        };
        let server = fs::canonicalize(self.server()?).ok()?;
        let stamps = format!("{}-{}", stamp(Path::new(ACKLINE))?, stamp(&server)?);
        let name = format!("{}{}", self.flavor, server.to_str()?.replace('/', "_"));
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        Some((all.join(name), stamps))
    }

    /// As `ackline sandbox` finds it.
    fn server(&self) -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let in_root = |root: &Path| root.join("bin");
        match (self.server_root, self.flavor) {
            (Some(root), "mysql") => Some(in_root(Path::new(root)).join("mysqld")),
            (Some(root), _) => Some(in_root(Path::new(root)).join("mariadbd")),
            (None, "mysql") => {
                super::mysql::is_installed().then(|| super::mysql::program("mysqld"))
            }
            (None, _) => match set("MARIADB_ROOT") {
                Some(root) => Some(in_root(Path::new(&root)).join("mariadbd")),
                None => std::env::split_paths(&set("PATH")?)
                    .map(|folder| folder.join("mariadbd"))
                    .find(|program| program.is_file()),
            },
        }
    }
}

/// Puts plan and template into the folder of a sandbox to be. Where that cannot be, `up` installs as ever.
pub(super) fn provide(dir: &Path, port: u16, options: &[&str]) {
    let Some(asked) = Asked::of(options) else {
        return;
    };
    let Some(installed) = installed(&asked) else {
        return;
    };
    let template = dir.join("template");
    // The servers get copies of it, so links do.
    let linked = cp("-al", &installed.join("data"), &template)
        || (fs::remove_dir_all(&template).is_ok() && cp("-a", &installed.join("data"), &template));
    let plan = plan(&installed, dir, port, &asked);
    if linked && let Some(plan) = plan {
        fs::write(dir.join("plan.json"), plan).unwrap();
    } else {
        let _ = fs::remove_dir_all(&template);
    }
}

fn plan(installed: &Path, dir: &Path, port: u16, asked: &Asked<'_>) -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let text = fs::read_to_string(installed.join("plan.json")).ok()?;
    let mut plan: Value = serde_json::from_str(&text).ok()?;
    plan["root"] = json!(dir);
    plan["port"] = json!(port);
    plan["replicas"] = json!(asked.replicas);
    plan["mode"] = json!(asked.mode);
    plan["server_options"] = json!(asked.server_options);
    plan["server_root"] = json!(asked.server_root);
    // No server knows these two: another sandbox's replica or script gets no further than before.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let own = format!("{}x{number}x", std::process::id());
    for secret in ["/replication/password", "/token"] {
        let secret = plan.pointer_mut(secret)?;
        // As long as before: MySQL takes 32 letters for a replica's password.
        let new = format!("{own}{}", secret.as_str()?);
        *secret = json!(new.get(..secret.as_str()?.len())?);
    }
    Some(plan.to_string())
}

/// A folder with `plan.json` and `data`, made once for each build and server.
fn installed(asked: &Asked<'_>) -> Option<PathBuf> {
    let (all, stamps) = asked.place()?;
    let place = all.join(stamps);
    if place.exists() {
        return Some(place);
    }
    fs::create_dir_all(&all).ok()?;
    for old in fs::read_dir(&all).ok()?.flatten() {
        // Not what another program of tests is making.
        if !old.file_name().to_str()?.starts_with('.') {
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let seed = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&all)
        .ok()?;
    install(asked, seed.path())?;
    let made = seed.path().join("made");
    fs::create_dir(&made).ok()?;
    fs::rename(seed.path().join("up/source/data"), made.join("data")).ok()?;
    fs::rename(seed.path().join("up/plan.json"), made.join("plan.json")).ok()?;
    // Another program of tests may have been first.
    let _ = fs::rename(&made, &place);
    place.exists().then_some(place)
}

/// A sandbox whose source gives up before it looks at its data, which stays as it was installed.
fn install(asked: &Asked<'_>, seed: &Path) -> Option<()> {
    let ports = Ports::take();
    let port = ports.base.to_string();
    let dir = seed.join("up");
    let mut arguments = vec!["sandbox", "up", "--dir", dir.to_str()?, "--port", &port];
    arguments.extend([
        "--flavor",
        asked.flavor,
        "--mode",
        "async",
        "--replicas",
        "0",
    ]);
    arguments.extend(["--server-option", "datadir=/nonexistent"]);
    if let Some(root) = asked.server_root {
        arguments.extend(["--server-root", root]);
    }
    let output = run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let whole = !output.status.success() && dir.join("source/data").exists();
    assert!(whole, "an installation for later sandboxes: {said}");
    Some(())
}

fn cp(how: &str, from: &Path, to: &Path) -> bool {
    let status = Command::new("cp")
        .arg(how)
        .arg("--")
        .args([from, to])
        .status();
    status.is_ok_and(|status| status.success())
}
