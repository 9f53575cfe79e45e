//! A row as one number, in SQL that both flavors compute alike on every machine.
//!
//! Each value is written with none but letters, digits and `.:+-` and a space, NULL as `N`, which no value is; between
//! them stands `#`. So no two rows are written alike. Text and bytes are taken as bytes: no collation and no character
//! set hides a difference. The 64-bit numbers are added up exactly: two rows that are wrong in the same way do not
//! cancel out.

use crate::tables::{Column, Definition, quoted};

/// Longer text is taken by its digest, so that no row comes near `max_allowed_packet`.
const WRITTEN_OUT: u64 = 1024;

/// What a row counts that could not be computed: more than all the rows of a table can add up to otherwise, 2^64 each.
const UNKNOWN: &str = "1000000000000000000000000000000";

/// A type that is not known here, by the column that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} is of the type {data_type}, which is not compared yet")]
pub(super) struct UnknownType {
    pub column: String,
    pub data_type: String,
}

/// The sum over rows, as text.
pub(super) fn sum(definition: &Definition) -> Result<String, UnknownType> {
    let values: Result<Vec<String>, UnknownType> = definition.columns.iter().map(value).collect();
    let row = format!("CONCAT_WS('#', {})", values?.join(", "));
    Ok(format!(
        "COALESCE(CAST(SUM(IFNULL(CAST(CONV(LEFT(SHA2({row}, 256), 16), 16, 10) AS UNSIGNED), {UNKNOWN})) AS CHAR), '0')"
    ))
}

/// Whether all rows of a sum could be computed.
pub(super) fn is_whole(sum: &str) -> bool {
    !sum.is_empty() && sum.len() < UNKNOWN.len() && sum.bytes().all(|byte| byte.is_ascii_digit())
}

fn value(column: &Column) -> Result<String, UnknownType> {
    let name = quoted(&column.name);
    let written = match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => {
            format!("CAST({name} AS CHAR)")
        }
        // As a DOUBLE, whose text is exact, and with the sign of a zero.
        "float" | "double" => format!("{name}*1e0"),
        "bit" => format!("{name}+0"),
        // The number in the list, or the bits: `+0` would go by DOUBLE.
        "enum" | "set" => format!("CAST({name} AS UNSIGNED)"),
        "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => {
            format!("CAST({name} AS CHAR)")
        }
        "char" | "varchar" | "binary" | "varbinary" => {
            match column.octets.is_some_and(|octets| octets <= WRITTEN_OUT) {
                true => format!("HEX({name})"),
                false => digest(&name),
            }
        }
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob"
        | "longblob" | "json" | "vector" | "geometry" | "point" | "linestring" | "polygon"
        | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection"
        | "geomcollection" => digest(&name),
        other => {
            return Err(UnknownType {
                column: column.name.clone(),
                data_type: other.to_owned(),
            });
        }
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
