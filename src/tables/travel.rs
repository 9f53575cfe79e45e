//! How a row travels: as what each value is asked for, and how it is loaded so that it is the same again.
//!
//! Text and bytes travel as they lie in the table, whatever their character set, valid or not. Floating-point numbers
//! travel as DOUBLE, whose text is exact. What a server makes of text only if it knows its character set is told that.

use super::{Column, Definition, quoted};
use crate::ids::Flavor;
use crate::net;
use crate::net::admin::Admin;

/// A type that is not known here, by the column that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its column {column} is of the type {data_type}, which is not copied yet")]
pub struct UnknownType {
    pub column: String,
    pub data_type: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AsItLies,
    Double,
    Text,
}

impl Way {
    fn of(column: &Column) -> Result<Self, UnknownType> {
        Ok(match column.data_type.as_str() {
            "float" | "double" => Self::Double,
            "uuid" | "inet4" | "inet6" => Self::Text,
            // MariaDB's is a text with a check.
            "json" => Self::Text,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year"
            | "bit" | "enum" | "set" | "date" | "time" | "datetime" | "timestamp" | "char"
            | "varchar" | "binary" | "varbinary" | "tinytext" | "text" | "mediumtext"
            | "longtext" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector"
            | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
            | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => {
                Self::AsItLies
            }
            other => {
                return Err(UnknownType {
                    column: column.name.clone(),
                    data_type: other.to_owned(),
                });
            }
        })
    }
}

/// Of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Travel {
    /// What is selected.
    pub select: String,
    /// What stands behind LOAD DATA's table.
    into: String,
}

impl Travel {
    pub fn of(definition: &Definition) -> Result<Self, UnknownType> {
        let (mut select, mut targets, mut set) = (Vec::new(), Vec::new(), Vec::new());
        let stored = definition
            .columns
            .iter()
            .filter(|column| column.generated.is_none());
        for column in stored {
            let name = quoted(&column.name);
            match Way::of(column)? {
                Way::AsItLies => {
                    select.push(name.clone());
                    targets.push(name);
                }
                Way::Double => {
                    select.push(format!("{name}*1e0"));
                    targets.push(name);
                }
                Way::Text => {
                    let variable = format!("@v{}", targets.len());
                    set.push(format!("{name} = CONVERT({variable} USING utf8mb4)"));
                    select.push(name);
                    targets.push(variable);
                }
            }
        }
        let mut into = format!("({})", targets.join(", "));
        if !set.is_empty() {
            into.push_str(&format!(" SET {}", set.join(", ")));
        }
        Ok(Self {
            select: select.join(", "),
            into,
        })
    }

    /// The file is what [`line`] writes. A row whose key is there already is left out, with a warning.
    pub fn load(&self, table: &str) -> String {
        self.load_as("INTO", table)
    }

    /// The same, in place of every row that has the same value of a unique key.
    pub fn load_instead(&self, table: &str) -> String {
        self.load_as("REPLACE INTO", table)
    }

    fn load_as(&self, verb: &str, table: &str) -> String {
        format!(
            "LOAD DATA LOCAL INFILE 'ackline' {verb} TABLE {table} CHARACTER SET binary \
             FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES STARTING BY '' TERMINATED BY '\\n' {}",
            self.into
        )
    }
}

/// What a reading session says first of all: values come as they lie in the table.
pub const AS_IT_LIES: &str = "SET SESSION character_set_results=NULL";

/// A session that loads rows as they were, into no binlog.
pub async fn prepare_to_load(admin: &mut Admin) -> Result<(), net::Error> {
    // Before anything else.
    admin.execute("SET SESSION sql_log_bin=0").await?;
    let of_flavor: &[&str] = match admin.flavor() {
        Flavor::MariaDb => &["SET SESSION check_constraint_checks=0, max_statement_time=0"],
        Flavor::MySql => {
            &["SET SESSION sql_require_primary_key=0, sql_generate_invisible_primary_key=0"]
        }
    };
    let all = [
        "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', time_zone='+00:00'",
        "SET SESSION foreign_key_checks=0, autocommit=1, innodb_strict_mode=0",
        // A warning must not go unseen.
        "SET SESSION max_error_count=64",
        "SET SESSION wait_timeout=604800, net_read_timeout=3600, lock_wait_timeout=60",
    ];
    for statement in of_flavor.iter().chain(&all) {
        admin.execute(statement).await?;
    }
    Ok(())
}

/// A row of LOAD DATA's file.
pub fn line(values: &[Option<Vec<u8>>], to: &mut Vec<u8>) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            to.push(b'\t');
        }
        match value {
            None => to.extend(b"\\N"),
            Some(bytes) => escaped(bytes, to),
        }
    }
    to.push(b'\n');
}

fn escaped(bytes: &[u8], to: &mut Vec<u8>) {
    let mut rest = bytes;
    let is_special = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\\' | 0);
    while let Some(at) = rest.iter().position(is_special) {
        to.extend(&rest[..at]);
        let letter = match rest[at] {
            b'\t' => b't',
            b'\n' => b'n',
            0 => b'0',
            other => other,
        };
        to.extend([b'\\', letter]);
        rest = &rest[at + 1..];
    }
    to.extend(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: &str) -> Column {
        Column {
            name: name.into(),
            data_type: data_type.into(),
            ..Column::default()
        }
    }

    fn travel(columns: Vec<Column>) -> Result<Travel, UnknownType> {
        Travel::of(&Definition {
            columns,
            keys: Vec::new(),
        })
    }

    #[test]
    fn each_type_in_its_way() {
        let generated = Column {
            generated: Some("`a` * 2".into()),
            ..column("g", "int")
        };
        let columns = vec![
            column("a", "int"),
            generated,
            column("f", "float"),
            column("j", "json"),
            column("o`d", "longblob"),
        ];
        let travel = travel(columns).unwrap();
        assert_eq!(travel.select, "`a`, `f`*1e0, `j`, `o``d`");
        let load = travel.load("`d`.`t`");
        assert!(load.starts_with("LOAD DATA LOCAL INFILE 'ackline' INTO TABLE `d`.`t` "));
        assert!(
            load.ends_with("(`a`, `f`, @v2, `o``d`) SET `j` = CONVERT(@v2 USING utf8mb4)"),
            "{load}"
        );
    }

    #[test]
    fn an_unknown_type_is_named() {
        assert_eq!(
            travel(vec![column("x", "xmltype")])
                .unwrap_err()
                .to_string(),
            "its column x is of the type xmltype, which is not copied yet"
        );
    }

    #[test]
    fn a_line_is_what_load_data_reads() {
        let mut file = Vec::new();
        let row = [
            Some(b"1".to_vec()),
            None,
            Some(b"a\tb\nc\\d\0e".to_vec()),
            Some(Vec::new()),
            Some(b"\\N".to_vec()),
        ];
        line(&row, &mut file);
        assert_eq!(file, b"1\t\\N\ta\\tb\\nc\\\\d\\0e\t\t\\\\N\n");
    }
}
