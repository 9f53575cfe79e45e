//! Doubles as the server prints them in JSON (`my_gcvt` in `mysys/dtoa.cc`): the fewest digits that read back as the
//! same number, without an exponent where neither many zeros follow the digits nor many precede them.

use std::fmt;

/// `MAX_DECPT_FOR_F_FORMAT`.
const MOST_ZEROS: i32 = 15;

pub(super) fn write(number: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // One digit, a point, the others, an exponent: Rust's shortest digits are the server's.
    let scientific = format!("{:e}", number.abs());
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        // JSON has no infinities, so no server writes one.
        return f.write_str("null");
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return Err(fmt::Error);
    };
    if number.is_sign_negative() {
        f.write_str("-")?;
    }
    let (first, others) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = 1 + others.len() as i32;
    // Digits before the point.
    let whole = exponent + 1;
    if whole <= -MOST_ZEROS || (whole > MOST_ZEROS && digits <= whole) {
        return write!(f, "{mantissa}e{exponent}");
    }
    if whole <= 0 {
        let zeros = whole.unsigned_abs() as usize;
        return write!(f, "0.{:0<zeros$}{first}{others}", "");
    }
    let inside = (whole - 1) as usize;
    match others.split_at_checked(inside) {
        Some((before, behind)) => {
            let behind = if behind.is_empty() { "0" } else { behind };
            write!(f, "{first}{before}.{behind}")
        }
        None => write!(f, "{first}{others:0<inside$}.0"),
    }
}
