//! What a login settles for the rest of the session.

use crate::ids::Epoch;
use crate::net::compression::Algorithm;
use crate::net::tls::Fingerprint;
use crate::protocol::Capabilities;

/// What client, source and we agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub client: Capabilities,
    pub source: Capabilities,
    pub mariadb: bool,
    /// The source mixes up variables that it reports, see [`super::tracking`].
    pub mixes_up: bool,
    pub epoch: Epoch,
    /// By how much the client's numbers are ahead of the source's until it is logged in.
    pub login_shift: u8,
    /// What the client speaks once it is logged in.
    pub compression: Option<Algorithm>,
    /// Of a certificate of our own making that the client was shown.
    pub own_certificate: Option<Fingerprint>,
}
