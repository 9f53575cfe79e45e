//! Who may change something: `Authorization: Bearer TOKEN`.

use axum::http::{HeaderMap, StatusCode, header};

/// Ok, or the status and the reason to answer with.
pub(super) fn authorize(
    headers: &HeaderMap,
    token: Option<&str>,
) -> Result<(), (StatusCode, &'static str)> {
    // An empty token would let everybody in.
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err((
            StatusCode::FORBIDDEN,
            "calls that change something are off: set [admin] token or token_file",
        ));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(SCHEME.len()))
        // The scheme's case does not matter (RFC 9110, 11.1).
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
        .map(|(_, given)| given);
    match given {
        Some(given) if same(given, token.as_bytes()) => Ok(()),
        _ => Err((
            StatusCode::UNAUTHORIZED,
            "the Authorization header must be: Bearer TOKEN",
        )),
    }
}

const SCHEME: &[u8] = b"Bearer ";

/// Takes as long for a wrong first byte as for a wrong last one; only the length shows.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differs = given
        .iter()
        .zip(token)
        .fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b)));
    given.len() == token.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let headers =
            |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let refused = |headers: &HeaderMap, token| authorize(headers, token).unwrap_err().0;
        for right in ["Bearer secret", "bearer secret"] {
            assert!(authorize(&headers(right), Some("secret")).is_ok());
        }
        for wrong in [
            "Bearer secreT",
            "Bearer secret2",
            "Bearer secre",
            "Bearer ",
            "Bearer",
            "secret",
            "Basic secret",
        ] {
            let status = refused(&headers(wrong), Some("secret"));
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
        }
        let none = HeaderMap::new();
        assert_eq!(refused(&none, Some("secret")), StatusCode::UNAUTHORIZED);
        for off in [None, Some("")] {
            assert_eq!(refused(&headers("Bearer "), off), StatusCode::FORBIDDEN);
        }
    }
}
