//! COM_CHANGE_USER: a login in a session that there is already.

use super::Error;
use super::fields::Fields;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    pub user: &'a [u8],
    pub auth_response: &'a [u8],
    pub database: &'a [u8],
    /// Empty where the client names none.
    pub auth_plugin: &'a [u8],
}

impl<'a> ChangeUser<'a> {
    /// The command's payload, of which connection attributes may be missing at the end.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, "COM_CHANGE_USER");
        fields.u8()?;
        let user = fields.until_nul()?;
        let length = fields.u8()?;
        let auth_response = fields.bytes(length.into())?;
        let database = fields.until_nul_or_end();
        // Character set; older clients end before it.
        let auth_plugin = match fields.u16() {
            Ok(_) => fields.until_nul_or_end(),
            Err(_) => &[],
        };
        Ok(Self {
            user,
            auth_response,
            database,
            auth_plugin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_their_order() {
        let whole = b"\x11ann\0\x02ab\x61pp\0\x2d\x00mysql_clear_password\0\x00";
        let parsed = ChangeUser {
            user: b"ann",
            auth_response: b"ab",
            database: b"app",
            auth_plugin: b"mysql_clear_password",
        };
        assert_eq!(ChangeUser::parse(whole).unwrap(), parsed);
        let old = ChangeUser {
            auth_plugin: b"",
            ..parsed
        };
        assert_eq!(ChangeUser::parse(b"\x11ann\0\x02abapp\0").unwrap(), old);
        for length in 0..7 {
            assert!(ChangeUser::parse(&whole[..length]).is_err(), "{length}");
        }
    }
}
