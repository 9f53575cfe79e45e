//! Who reads a text: executable comments depend on it.

use crate::ids::Flavor;
use crate::version::Version;

/// A server, as far as it makes a difference for the meaning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub flavor: Flavor,
    /// As in executable comments: 101119 is 10.11.19, 90704 is 9.7.4.
    pub version: u32,
}

/// What an executable comment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `/*!`
    Any,
    /// `/*M!`
    MariaDb,
}

impl Server {
    /// From the version in the greeting; the oldest server where it says none.
    pub fn of(flavor: Flavor, greeting: &str) -> Self {
        Self {
            flavor,
            version: Version::parse(greeting).digits(),
        }
    }

    /// Whether the contents of an executable comment are a part of the text; `inside` is what follows
    /// its mark. Also the length of the version that it names. Measured on both servers; MariaDB's
    /// sql_lex.cc leaves out what is for MySQL 5.7 and later.
    pub(super) fn runs(self, mark: Mark, inside: &[u8]) -> (bool, usize) {
        let digits = leading_digits(inside);
        let length = match self.flavor {
            Flavor::MariaDb => digits,
            // A sixth digit counts only in front of a blank.
            Flavor::MySql if digits == 6 && !inside.get(6).is_some_and(u8::is_ascii_whitespace) => {
                5
            }
            Flavor::MySql => digits,
        };
        let asked = inside[..length]
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        let runs = match (self.flavor, mark) {
            (Flavor::MySql, Mark::MariaDb) => false,
            (Flavor::MariaDb, Mark::Any) if (50_700..=99_999).contains(&asked) => false,
            _ => asked <= self.version,
        };
        (runs, length)
    }
}

/// How many digits of a version there are: five or six, or none.
pub(super) fn leading_digits(inside: &[u8]) -> usize {
    let digits = inside.iter().take(6).take_while(|b| b.is_ascii_digit());
    match digits.count() {
        enough @ 5.. => enough,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let version = |text| Server::of(Flavor::MariaDb, text).version;
        assert_eq!(version("5.5.5-10.11.19-MariaDB-log"), 101_119);
        assert_eq!(version("11.4.2-MariaDB"), 110_402);
        assert_eq!(version("9.7.4"), 90_704);
        assert_eq!(version("8.0.36-28.1"), 80_036);
        assert_eq!(version("9"), 90_000);
        assert_eq!(version(""), 0);
        assert_eq!(version("99999999999.1"), 100);
    }
}
