//! Our binlog, read with the server's own tool.

use std::fs;
use std::path::Path;
use std::process::Command;

use ackline::ids::Flavor;

use super::Manifest;
use super::mysql;

pub struct Printed {
    pub file: String,
    pub text: String,
}

/// The flavor's own tool over every file of ours. An error where it fails, warns, or stops before the end.
/// Nobody may write meanwhile.
pub fn print_all(sandbox: &Manifest) -> Result<Vec<Printed>, String> {
    let dir = &sandbox.binlog_dir;
    let index = fs::read_to_string(dir.join("binlog.index"))
        .map_err(|error| format!("binlog.index: {error}"))?;
    index
        .lines()
        .map(|name| print(sandbox.flavor, &dir.join(name.trim_start_matches("./"))))
        .collect()
}

fn print(flavor: Flavor, path: &Path) -> Result<Printed, String> {
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let length = fs::metadata(path)
        .map_err(|error| format!("{file}: {error}"))?
        .len();
    let mut tool = match flavor {
        Flavor::MariaDb => Command::new("mariadb-binlog"),
        Flavor::MySql => Command::new(mysql::program("mysqlbinlog")),
    };
    let output = tool
        .args(["--no-defaults", "--verify-binlog-checksum"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !errors.is_empty() {
        return Err(format!("{file}: {}: {errors}", output.status));
    }
    let warns = |line: &&str| {
        (line.starts_with('#') || line.starts_with("WARNING"))
            && line.to_ascii_lowercase().contains("warning")
    };
    if let Some(warning) = text.lines().find(warns) {
        return Err(format!("{file}: {warning}"));
    }
    // The format's positions have 32 bits.
    let end = text
        .rmatch_indices("end_log_pos ")
        .next()
        .and_then(|(at, label)| number(&text[at + label.len()..]));
    if end != Some(length & 0xffff_ffff) {
        return Err(format!(
            "{file}: the last event that it prints ends at {end:?}, the file at {length}"
        ));
    }
    Ok(Printed { file, text })
}

/// The digits that it begins with.
pub fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}
