//! The version of a server, in whichever way it says it: `VERSION()`, its greeting, the head of its binlog.

use crate::ids::Flavor;

/// MariaDB greets with this in front of its own version, for the sake of old replicas.
const PREFIX: &str = "5.5.5-";

/// The numbers that it begins with; what is not there is 0. A fourth one counts builds of the same server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    pub fn parse(text: &str) -> Self {
        let numbers = text.strip_prefix(PREFIX).unwrap_or(text);
        let end = numbers.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let mut numbers = numbers[..end.unwrap_or(numbers.len())].split('.');
        let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            major: next(),
            minor: next(),
            patch: next(),
        }
    }

    /// As in executable comments: 101119 is 10.11.19, 90704 is 9.7.4.
    pub fn digits(self) -> u32 {
        self.major.min(99) * 10_000 + self.minor.min(99) * 100 + self.patch.min(99)
    }

    /// Releases of one series differ by repairs only.
    pub fn series(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

/// As a server of this version greets.
pub fn greeting(version: &str) -> String {
    match Flavor::of_version(version) {
        Flavor::MariaDb if !version.starts_with(PREFIX) => format!("{PREFIX}{version}"),
        _ => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_servers_say_it() {
        use Flavor::{MariaDb, MySql};
        for (text, flavor, numbers) in [
            ("9.7.4", MySql, (9, 7, 4)),
            ("9.7.4.1", MySql, (9, 7, 4)),
            ("9.7.4-2", MySql, (9, 7, 4)),
            ("8.0.36-28.1", MySql, (8, 0, 36)),
            ("26.10.0", MySql, (26, 10, 0)),
            ("10.11.14-MariaDB-0+deb12u2-log", MariaDb, (10, 11, 14)),
            ("5.5.5-10.11.14-MariaDB", MariaDb, (10, 11, 14)),
            ("11.8.9-MariaDB-0+deb13u1 from Debian", MariaDb, (11, 8, 9)),
            ("12.3.1-MariaDB", MariaDb, (12, 3, 1)),
            ("12.3.1.7-MariaDB-enterprise", MariaDb, (12, 3, 1)),
            ("9", MySql, (9, 0, 0)),
            ("", MySql, (0, 0, 0)),
            // Larger than any number of a version.
            ("99999999999.1", MySql, (0, 1, 0)),
        ] {
            let found = Version::parse(text);
            assert_eq!((found.major, found.minor, found.patch), numbers, "{text}");
            assert_eq!(Flavor::of_version(text), flavor, "{text}");
        }
        assert_eq!(Version::parse("26.10.0").digits(), 261_000);
        assert_eq!(Version::parse("9.7.4.1").digits(), 90_704);
        assert!(Version::parse("26.10.0") > Version::parse("9.7.4"));
    }

    #[test]
    fn as_servers_greet() {
        assert_eq!(greeting("12.3.1-MariaDB"), "5.5.5-12.3.1-MariaDB");
        assert_eq!(greeting("5.5.5-10.11.14-MariaDB"), "5.5.5-10.11.14-MariaDB");
        assert_eq!(greeting("26.10.0"), "26.10.0");
    }
}
