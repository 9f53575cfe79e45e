//! COM_REGISTER_SLAVE: a replica introduces itself.

use super::fields::Fields;
use super::{Command, Error};
use crate::ids::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterSlave {
    pub server_id: ServerId,
    /// `report_host` and its like; empty where the replica was told none.
    pub host: Vec<u8>,
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    pub port: u16,
}

impl RegisterSlave {
    pub fn new(server_id: ServerId) -> Self {
        Self {
            server_id,
            host: Vec::new(),
            user: Vec::new(),
            password: Vec::new(),
            port: 0,
        }
    }

    /// The whole payload, command byte included.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload, "COM_REGISTER_SLAVE");
        fields.u8()?;
        let server_id = ServerId(fields.u32()?);
        let mut text = || -> Result<Vec<u8>, Error> {
            let length = fields.u8()?;
            Ok(fields.bytes(usize::from(length))?.to_vec())
        };
        let (host, user, password) = (text()?, text()?, text()?);
        let port = fields.u16()?;
        // A rank and the source's id follow; no server uses them.
        Ok(Self {
            server_id,
            host,
            user,
            password,
            port,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(Command::REGISTER_SLAVE.0);
        out.extend_from_slice(&self.server_id.0.to_le_bytes());
        for text in [&self.host, &self.user, &self.password] {
            let length = text.len().min(255);
            out.push(length as u8);
            out.extend_from_slice(&text[..length]);
        }
        out.extend_from_slice(&self.port.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let register = RegisterSlave {
            host: b"replica-1".to_vec(),
            port: 3306,
            ..RegisterSlave::new(ServerId(7))
        };
        let mut bytes = Vec::new();
        register.write(&mut bytes);
        assert_eq!(RegisterSlave::parse(&bytes).unwrap(), register);
        for end in 0..bytes.len() - 8 {
            assert!(RegisterSlave::parse(&bytes[..end]).is_err());
        }
    }
}
