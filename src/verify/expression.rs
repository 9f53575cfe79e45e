//! A row as one number, in SQL that both flavors compute alike on every machine.
//!
//! Each value is written with none but letters, digits and `.:+-` and a space, NULL as `N`, which no value is; between
//! them stands `#`. So no two rows are written alike. Text and bytes are taken as bytes: no collation and no character
//! set hides a difference. The 64-bit numbers are added up exactly: two rows that are wrong in the same way do not
//! cancel out.

use crate::tables::{Column, Definition, quoted};

/// Longer text is taken by its digest, so that no row comes near `max_allowed_packet`.
const WRITTEN_OUT: u64 = 1024;

/// Of a value that is shown, so many characters.
pub(super) const SHOWN: usize = 40;

/// What a row counts that could not be computed: more than all the rows of a table can add up to otherwise, 2^64 each.
const UNKNOWN: &str = "1000000000000000000000000000000";

/// A type that is not known here, by the column that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} is of the type {data_type}, which is not compared yet")]
pub(super) struct UnknownType {
    pub column: String,
    pub data_type: String,
}

/// A row, as the digest of all its values. NULL where it cannot be computed.
pub(super) fn row(definition: &Definition) -> Result<String, UnknownType> {
    let values: Result<Vec<String>, UnknownType> = definition.columns.iter().map(value).collect();
    Ok(format!("SHA2(CONCAT_WS('#', {}), 256)", values?.join(", ")))
}

/// The sum over rows, as text, of what [`row`] makes of each.
pub(super) fn sum(row: &str) -> String {
    format!(
        "COALESCE(CAST(SUM(IFNULL(CAST(CONV(LEFT({row}, 16), 16, 10) AS UNSIGNED), {UNKNOWN})) AS CHAR), '0')"
    )
}

/// A value as [`super::rows::shown`] reads it.
pub(super) fn shown(column: &Column) -> Result<String, UnknownType> {
    let name = quoted(&column.name);
    let (letter, beginning) = match Kind::of(column)? {
        Kind::Number(written) => return Ok(written),
        Kind::Text => (
            't',
            format!("HEX(CONVERT(LEFT({name}, {SHOWN}) USING utf8mb4))"),
        ),
        Kind::Json => (
            't',
            format!("HEX(CONVERT(LEFT(CAST({name} AS CHAR), {SHOWN}) USING utf8mb4))"),
        ),
        Kind::Bytes => ('b', format!("HEX(LEFT({name}, {SHOWN}))")),
        Kind::Shape => ('b', "''".to_owned()),
    };
    Ok(format!(
        "CONCAT('{letter}', {beginning}, ' ', LENGTH({name}), ' ', LEFT(SHA2({name}, 256), 16))"
    ))
}

/// How a value is written.
enum Kind {
    /// As this, which is short.
    Number(String),
    Text,
    Json,
    Bytes,
    Shape,
}

impl Kind {
    fn of(column: &Column) -> Result<Self, UnknownType> {
        let name = quoted(&column.name);
        Ok(match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year"
            | "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => {
                Self::Number(format!("CAST({name} AS CHAR)"))
            }
            // As a DOUBLE, whose text is exact, and with the sign of a zero.
            "float" | "double" => Self::Number(format!("{name}*1e0")),
            "bit" => Self::Number(format!("{name}+0")),
            // The number in the list, or the bits: `+0` would go by DOUBLE.
            "enum" | "set" => Self::Number(format!("CAST({name} AS UNSIGNED)")),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text,
            "json" => Self::Json,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "vector" | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
            | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => {
                Self::Shape
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

/// Whether all rows of a sum could be computed.
pub(super) fn is_whole(sum: &str) -> bool {
    !sum.is_empty() && sum.len() < UNKNOWN.len() && sum.bytes().all(|byte| byte.is_ascii_digit())
}

fn value(column: &Column) -> Result<String, UnknownType> {
    let name = quoted(&column.name);
    let is_short = column.octets.is_some_and(|octets| octets <= WRITTEN_OUT);
    let is_kept_short =
        ["char", "varchar", "binary", "varbinary"].contains(&column.data_type.as_str());
    let written = match Kind::of(column)? {
        Kind::Number(written) => written,
        Kind::Text | Kind::Bytes if is_kept_short && is_short => format!("HEX({name})"),
        Kind::Text | Kind::Json | Kind::Bytes | Kind::Shape => digest(&name),
    };
    Ok(format!("IFNULL({written}, 'N')"))
}

fn digest(name: &str) -> String {
    format!("SHA2({name}, 256)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data_type: &str, octets: Option<u64>) -> Result<String, UnknownType> {
        value(&Column {
            name: "c".into(),
            data_type: data_type.into(),
            octets,
            ..Column::default()
        })
    }

    #[test]
    fn each_type_in_its_way() {
        for (data_type, octets, expression) in [
            ("bigint", None, "IFNULL(CAST(`c` AS CHAR), 'N')"),
            ("float", None, "IFNULL(`c`*1e0, 'N')"),
            ("set", None, "IFNULL(CAST(`c` AS UNSIGNED), 'N')"),
            ("varchar", Some(80), "IFNULL(HEX(`c`), 'N')"),
            ("varchar", Some(65_000), "IFNULL(SHA2(`c`, 256), 'N')"),
            ("json", None, "IFNULL(SHA2(`c`, 256), 'N')"),
        ] {
            assert_eq!(of(data_type, octets).unwrap(), expression);
        }
        assert_eq!(
            of("xmltype", None).unwrap_err().to_string(),
            "column c is of the type xmltype, which is not compared yet"
        );
    }

    #[test]
    fn a_sum_with_an_unknown_row_is_not_whole() {
        // 10^10 rows at 2^64.
        assert!(is_whole("184467440737095516160000000000"));
        assert!(is_whole("0"));
        assert!(!is_whole(UNKNOWN));
        assert!(!is_whole("1000000000000000000000000000001"));
        assert!(!is_whole(""));
    }
}
