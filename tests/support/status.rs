//! The status document, read by the names that scripts rely on.

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Status(pub Value);

impl Status {
    /// `source.state`, `binlog.released`, …
    pub fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, key| &value[key])
    }

    pub fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    pub fn number(&self, path: &str) -> u64 {
        self.at(path)
            .as_u64()
            .unwrap_or_else(|| panic!("{path} is no number in {self}"))
    }

    pub fn flag(&self, path: &str) -> bool {
        self.at(path)
            .as_bool()
            .unwrap_or_else(|| panic!("{path} is no boolean in {self}"))
    }

    /// The strings of a list.
    pub fn list(&self, path: &str) -> Vec<&str> {
        self.at(path)
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    /// The row of one replica.
    pub fn replica(&self, name: &str) -> Option<Self> {
        let rows = self.0["replicas"].as_array()?;
        rows.iter()
            .find(|row| row["name"] == name)
            .cloned()
            .map(Self)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}
