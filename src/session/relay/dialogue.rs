//! The dialogue of a login (and of COM_CHANGE_USER): what the source asks and the client answers is
//! relayed as it is, but for the password itself.
//!
//! `caching_sha2_password` has it told in clear over a secure channel and with the other end's RSA key
//! over any other. The client's channel and ours to the source need not be of one kind, so the password
//! is taken from the client in its way and handed to the source in the source's. On the way we learn it; and
//! where the client's channel is secure, it is asked for even though the source does not need it.

use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use super::{Phase, Relay, Running};
use crate::protocol::ErrPacket;
use crate::protocol::auth::{self, Question};
use crate::protocol::caching_sha2::{self, FULL, KEY_REQUEST, MORE_DATA};
use crate::protocol::packet::{HEADER, Header};
use crate::protocol::password::Password;
use crate::session::End;
use crate::session::abandon::{Reached, abandon};
use crate::session::answer::Asked;
use crate::session::peers::Side;
use crate::session::refusal;

/// What a client answers that is asked for its password.
enum Told {
    Password(Password),
    /// Encrypted with a key that it had in advance, which is the source's.
    Sealed(Vec<u8>),
    /// The source did not wait for it.
    Nothing,
}

/// The number of the last packet with each end.
struct Last {
    client: u8,
    source: u8,
}

impl Relay {
    /// The source asks on; its packet is not shown yet.
    pub(super) async fn asked(&mut self, mut running: Running) -> Result<Phase, End> {
        let (Some(asked), Some(lesson)) = (running.answer.asked(), &mut running.lesson) else {
            self.show().await?;
            return Ok(Phase::Dialogue(running));
        };
        let Asked { question, payload } = asked.clone();
        lesson.asked(&payload);
        let last = Last {
            client: question.sequence.wrapping_add(running.answer.shift()),
            source: question.sequence,
        };
        if auth::asks_clear_password(&payload) && self.peers.would_leak() {
            // In place of the packet that asks.
            let error = refusal::clear_password();
            return self.refuse_login(question, last.client, &error).await;
        }
        if payload == [MORE_DATA, FULL] && lesson.is_caching_sha2() {
            return self.full_authentication(running, question, last).await;
        }
        if caching_sha2::is_fast_ok(&payload)
            && lesson.lacks_password(&self.shared.passwords)
            && self.peers.client.stream.is_secure()
        {
            return self.learn_password(running, last).await;
        }
        self.show().await?;
        Ok(Phase::Dialogue(running))
    }

    /// The source needs the password.
    async fn full_authentication(
        &mut self,
        mut running: Running,
        question: Question,
        mut last: Last,
    ) -> Result<Phase, End> {
        self.show().await?;
        let scramble = (running.lesson.as_ref()).map_or(Vec::new(), |it| it.scramble().to_vec());
        let told = match self.ask_password(&mut last.client, &scramble, true).await {
            Ok(told) => told,
            Err(end) => {
                if end.is_clients() {
                    abandon(&mut self.peers.source, Reached::Asked(question)).await;
                }
                return Err(end);
            }
        };
        match told {
            None => {
                let error = refusal::bad_handshake("the password is encrypted with another key");
                let sequence = last.client.wrapping_add(1);
                return self.refuse_login(question, sequence, &error).await;
            }
            Some(Told::Password(password)) => {
                self.hand_over(&password, &scramble, &mut last.source)
                    .await?;
                if let Some(lesson) = &mut running.lesson {
                    lesson.told(password, &self.shared.passwords);
                }
            }
            Some(Told::Sealed(_)) if self.peers.source.stream.is_secure() => {
                let error = refusal::full_authentication();
                let sequence = last.client.wrapping_add(1);
                return self.refuse_login(question, sequence, &error).await;
            }
            Some(Told::Sealed(sealed)) => {
                last.source = last.source.wrapping_add(1);
                let sent = self.peers.source.send(last.source, &sealed).await;
                sent.map_err(End::source)?;
            }
            Some(Told::Nothing) => {}
        }
        Ok(Phase::Answering(last.settle(running)))
    }

    /// The source does not need it, and will not be told: the client is asked in its name.
    async fn learn_password(&mut self, mut running: Running, mut last: Last) -> Result<Phase, End> {
        let code = self.passage.verbatim.end.checked_sub(1);
        let bytes = self.peers.source.inbound.unread_mut();
        if let Some(code) = code.and_then(|at| bytes.get_mut(at)) {
            *code = FULL;
        }
        self.show().await?;
        let told = self.ask_password(&mut last.client, &[], false).await?;
        if let (Some(Told::Password(password)), Some(lesson)) = (told, &mut running.lesson) {
            lesson.told(password, &self.shared.passwords);
        }
        Ok(Phase::Answering(last.settle(running)))
    }

    /// The client was just asked for its password: what it says. None when it cannot be read.
    async fn ask_password(
        &mut self,
        last: &mut u8,
        scramble: &[u8],
        source_waits: bool,
    ) -> Result<Option<Told>, End> {
        let Some(said) = self.client_says(last, source_waits).await? else {
            return Ok(Some(Told::Nothing));
        };
        if self.peers.client.stream.is_secure() {
            return Ok(Some(Told::Password(Password::from_packet(&said))));
        }
        if said[..] != KEY_REQUEST {
            return Ok(Some(Told::Sealed(said.to_vec())));
        }
        let key = self.shared.password_key.clone();
        let made = self.peers.client.unless_leaves(key.key()).await;
        let Some(made) = made.map_err(End::client)? else {
            return Ok(None);
        };
        *last = last.wrapping_add(1);
        let pem = [&[MORE_DATA], made.pem().as_bytes()].concat();
        let sent = self.peers.client.send(*last, &pem).await;
        sent.map_err(End::client)?;
        let Some(sealed) = self.client_says(last, source_waits).await? else {
            return Ok(Some(Told::Nothing));
        };
        let decrypted = key.decrypt(sealed.to_vec(), scramble.to_vec()).await;
        Ok(decrypted.map(Told::Password))
    }

    /// The client's next packet. None if the source speaks although it waits for that; where it does not
    /// wait, its verdict (perhaps followed by its end) is left unread, to be numbered behind the client's
    /// answer.
    async fn client_says(
        &mut self,
        last: &mut u8,
        source_waits: bool,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, End> {
        // Before the source's own patience ends, which would be counted against us there.
        let deadline = Instant::now() + self.shared.config.login_timeout;
        loop {
            let ready = self.peers.client.packet().map_err(End::client_protocol)?;
            if let Some(whole) = ready {
                let packet = self.peers.client.take_secret(whole);
                *last = Header::parse(&packet).map_or(*last, |header| header.sequence);
                return Ok(Some(packet[HEADER..].to_vec().into()));
            }
            let late = || End::client(std::io::ErrorKind::TimedOut.into());
            if !source_waits {
                let filled = timeout_at(deadline, self.peers.client.fill()).await;
                filled.map_err(|_| late())?.map_err(End::client)?;
                continue;
            }
            match self.peers.readable_or(sleep_until(deadline)).await? {
                Some(Side::Client) => self.peers.client.try_fill().await.map_err(End::client)?,
                Some(Side::Source) => {
                    self.peers.source_early().await?;
                    if !self.peers.source.inbound.is_empty() {
                        return Ok(None);
                    }
                }
                None => return Err(late()),
            }
        }
    }

    /// The source was just about to wait for it. Should it have no key, its error is left for whoever
    /// reads on.
    async fn hand_over(
        &mut self,
        password: &Password,
        scramble: &[u8],
        last: &mut u8,
    ) -> Result<(), End> {
        let source = &mut self.peers.source;
        *last = last.wrapping_add(1);
        if source.stream.is_secure() {
            let sent = source.send(*last, password.to_packet().expose()).await;
            return sent.map_err(End::source);
        }
        let sent = source.send(*last, &KEY_REQUEST).await;
        sent.map_err(End::source)?;
        let whole = loop {
            match source.packet().map_err(End::source_protocol)? {
                Some(whole) => break whole,
                None => source.fill().await.map_err(End::source)?,
            }
        };
        let packet = source.inbound.unread().get(..whole).unwrap_or_default();
        let Some([MORE_DATA, pem @ ..]) = packet.get(HEADER..) else {
            return Ok(());
        };
        let sealed =
            caching_sha2::encrypt(password, scramble, pem).map_err(End::source_protocol)?;
        source.inbound.consume(whole);
        *last = last.wrapping_add(2);
        source.send(*last, &sealed).await.map_err(End::source)
    }

    /// Our error to the client; the source hears something that it takes for a wrong password.
    async fn refuse_login(
        &mut self,
        question: Question,
        sequence: u8,
        error: &ErrPacket,
    ) -> Result<Phase, End> {
        self.shared.metrics.refused(error.code);
        let sent = self.peers.client.send_error(sequence, error).await;
        let unread = self.peers.source.inbound.unread().len();
        self.peers.source.inbound.consume(unread);
        abandon(&mut self.peers.source, Reached::Asked(question)).await;
        sent.map_err(End::client)?;
        Err(End::Refused(error.code))
    }

    pub(super) async fn dialogue(&mut self, mut running: Running) -> Result<Phase, End> {
        // caching_sha2_password's fast way: the OK came along with what announced it.
        if !self.peers.source.inbound.is_empty() {
            return Ok(Phase::Answering(running));
        }
        let mut answered = false;
        match self.converse(&mut running, &mut answered).await {
            Ok(()) => Ok(Phase::Answering(running)),
            Err(end) => {
                if let Some(asked) = running.answer.asked()
                    && !answered
                    && end.is_clients()
                {
                    abandon(&mut self.peers.source, Reached::Asked(asked.question)).await;
                }
                Err(end)
            }
        }
    }

    /// What the client says goes to the source as it is, but for its number, until the source speaks
    /// again.
    async fn converse(&mut self, running: &mut Running, answered: &mut bool) -> Result<(), End> {
        let mut last = 0;
        while let Some(said) = self.client_says(&mut last, true).await? {
            if let Some(lesson) = &mut running.lesson {
                lesson.answered(&said);
            }
            let number = last.wrapping_sub(running.answer.shift());
            let sent = self.peers.source.send(number, &said).await;
            sent.map_err(End::source)?;
            *answered = true;
        }
        Ok(())
    }
}

impl Last {
    /// From here on the numbers differ by what only one of both was told or said.
    fn settle(&self, mut running: Running) -> Running {
        let shift = self.client.wrapping_sub(self.source);
        running.answer.set_shift(shift);
        running
    }
}
