//! The proof of the peer token between servers: at the beginning of a connection, and with every
//! heartbeat.
//!
//! Used by both ends of links and registrations, where there is a token; without one nothing of
//! this is said. Each end answers the other's fresh challenge with a keyed hash that also says what
//! the connection is for and which end it is, so that no answer fits anywhere else. It keeps
//! strangers out; it hides nothing from whoever can read the network.

use std::future::Future;
use std::io;
use std::time::Duration;

use protocol::proof::{Challenge, Proof, Proven};
use tokio::net::tcp::OwnedWriteHalf;

use super::lines::{self, LineReader};
use crate::process::random_uuid;
use crate::tokens::PeerSecret;

/// How long the other end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between a heartbeat and its tag.
const SEPARATOR: u8 = b'\n';
/// Of a tag in hex, bytes.
const TAG_DIGITS: usize = 64;

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// A node announces itself.
    Registration,
    /// The coordinator's link to a node.
    Link,
}

/// Which end of it proves.
#[derive(Debug, Clone, Copy)]
enum End {
    Dialler,
    Listener,
}

fn label(purpose: Purpose, end: End) -> &'static str {
    match (purpose, end) {
        (Purpose::Registration, End::Dialler) => "piazza registration, dialler",
        (Purpose::Registration, End::Listener) => "piazza registration, listener",
        (Purpose::Link, End::Dialler) => "piazza link, dialler",
        (Purpose::Link, End::Listener) => "piazza link, listener",
    }
}

/// One connection on which the token is being proved.
pub(super) struct Proving<'a> {
    pub(super) secret: &'a PeerSecret,
    pub(super) purpose: Purpose,
    pub(super) reader: &'a mut LineReader,
    pub(super) writer: &'a mut OwnedWriteHalf,
}

impl Proving<'_> {
    /// Proves the token as the end that dialled, and has it proved.
    pub(super) async fn dial(mut self) -> io::Result<()> {
        let ours = random_uuid()?;
        within(async {
            self.send(&Challenge { challenge: ours }).await?;
            let theirs = self.reader.next::<Proven>().await?.ok_or_else(unproven)?;
            let challenges = [ours.0, theirs.challenge.0];
            self.check(End::Listener, challenges, &theirs.proof)?;
            self.send(&Proof { proof: self.proof(End::Dialler, challenges) }).await
        })
        .await
    }

    /// The same as the end that listens.
    pub(super) async fn listen(mut self) -> io::Result<()> {
        let ours = random_uuid()?;
        within(async {
            let theirs = self.reader.next::<Challenge>().await?.ok_or_else(unproven)?;
            let challenges = [theirs.challenge.0, ours.0];
            let proof = self.proof(End::Listener, challenges);
            self.send(&Proven { challenge: ours, proof }).await?;
            let theirs = self.reader.next::<Proof>().await?.ok_or_else(unproven)?;
            self.check(End::Dialler, challenges, &theirs.proof)
        })
        .await
    }

    fn proof(&self, end: End, [dialler, listener]: [u128; 2]) -> String {
        let parts = [&dialler.to_le_bytes()[..], &listener.to_le_bytes()];
        hex(&self.secret.tag(label(self.purpose, end), &parts))
    }

    fn check(&self, end: End, [dialler, listener]: [u128; 2], proof: &str) -> io::Result<()> {
        let parts = [&dialler.to_le_bytes()[..], &listener.to_le_bytes()];
        let tag = from_hex(proof.as_bytes()).ok_or_else(unproven)?;
        let is_right = self.secret.is_tag(label(self.purpose, end), &parts, &tag);
        if is_right { Ok(()) } else { Err(unproven()) }
    }

    async fn send(&mut self, message: &impl protocol::peer::Message) -> io::Result<()> {
        let mut out = Vec::new();
        lines::write_line(&mut out, message);
        lines::send(self.writer, &mut out).await
    }
}

async fn within(proved: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(PATIENCE, proved).await.map_err(|_| unproven())?
}

fn unproven() -> io::Error {
    let text = "the other end does not prove the peer token: give all servers of the cluster the \
                same --peer-token-file";
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// A heartbeat as it is sent.
pub(super) fn seal(secret: Option<&PeerSecret>, mut heartbeat: Vec<u8>) -> Vec<u8> {
    if let Some(secret) = secret {
        let tag = secret.tag(HEARTBEAT, &[&heartbeat]);
        heartbeat.push(SEPARATOR);
        heartbeat.extend_from_slice(hex(&tag).as_bytes());
    }
    heartbeat
}

/// The heartbeat in a datagram; none if it is forged.
pub(super) fn unseal<'a>(secret: Option<&PeerSecret>, datagram: &'a [u8]) -> Option<&'a [u8]> {
    let Some(secret) = secret else { return Some(datagram) };
    let (heartbeat, end) =
        datagram.split_at_checked(datagram.len().checked_sub(TAG_DIGITS + 1)?)?;
    let (separator, digits) = end.split_first()?;
    let tag = from_hex(digits)?;
    let is_ours = *separator == SEPARATOR && secret.is_tag(HEARTBEAT, &[heartbeat], &tag);
    is_ours.then_some(heartbeat)
}

const HEARTBEAT: &str = "piazza heartbeat";

fn hex(bytes: &[u8; 32]) -> String {
    let digit = |bits: u8| char::from(b"0123456789abcdef"[usize::from(bits & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let bits = |digit: u8| char::from(digit).to_digit(16).and_then(|bits| u8::try_from(bits).ok());
    let mut bytes = [0; 32];
    if digits.len() != TAG_DIGITS {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = bits(pair[0])? << 4 | bits(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use protocol::peer::Message;
    use protocol::proof::PROOF_LINE_BYTES_MAX;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::tokens::tests::secret;

    struct Ends {
        dialler: (LineReader, OwnedWriteHalf),
        listener: (LineReader, OwnedWriteHalf),
    }

    async fn ends() -> Ends {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let end = |stream: TcpStream| {
            let (reader, writer) = stream.into_split();
            (LineReader::new(reader, PROOF_LINE_BYTES_MAX), writer)
        };
        Ends { dialler: end(dialled.unwrap()), listener: end(accepted.unwrap().0) }
    }

    fn proving<'a>(
        secret: &'a PeerSecret,
        purpose: Purpose,
        (reader, writer): &'a mut (LineReader, OwnedWriteHalf),
    ) -> Proving<'a> {
        Proving { secret, purpose, reader, writer }
    }

    /// Whether each end is satisfied.
    async fn meet(dialler: (char, Purpose), listener: (char, Purpose)) -> (bool, bool) {
        let mut ends = ends().await;
        let (theirs, ours) = (secret(dialler.0), secret(listener.0));
        let dial = async {
            let mut end = ends.dialler;
            let done = proving(&theirs, dialler.1, &mut end).dial().await.is_ok();
            drop(end);
            done
        };
        let listen = async {
            let done = proving(&ours, listener.1, &mut ends.listener).listen().await.is_ok();
            drop(ends.listener);
            done
        };
        tokio::join!(dial, listen)
    }

    #[tokio::test]
    async fn both_ends_prove_the_same_token_for_the_same_purpose() {
        use Purpose::{Link, Registration};
        assert_eq!(meet(('p', Link), ('p', Link)).await, (true, true));
        assert_eq!(meet(('p', Registration), ('p', Registration)).await, (true, true));
        assert_eq!(meet(('p', Link), ('q', Link)).await, (false, false));
        assert_eq!(meet(('p', Link), ('p', Registration)).await, (false, false));
    }

    /// Whoever has no token sends back what it hears.
    #[tokio::test]
    async fn an_answer_that_is_an_echo_proves_nothing() {
        let (mut ends, ours) = (ends().await, secret('p'));
        let mirror = async {
            let (reader, writer) = &mut ends.listener;
            let heard = reader.next::<Challenge>().await.unwrap().unwrap();
            let mut line = Vec::new();
            // A second dialler would say the same; its proof is not that of a listener.
            let proving = Proving { secret: &ours, purpose: Purpose::Link, reader, writer };
            let proof = proving.proof(End::Dialler, [heard.challenge.0, heard.challenge.0]);
            Proven { challenge: heard.challenge, proof }.write(&mut line);
            line.push(b'\n');
            proving.writer.write_all(&line).await.unwrap();
        };
        let dial = proving(&ours, Purpose::Link, &mut ends.dialler).dial();
        let (dialled, ()) = tokio::join!(dial, mirror);
        assert_eq!(dialled.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    /// H45: whoever has not the peer token says nothing that counts.
    #[test]
    fn h45_a_heartbeat_that_is_not_ours_is_none() {
        let (ours, theirs) = (secret('p'), secret('q'));
        let plain = b"{\"seq\":1}".to_vec();
        assert_eq!(unseal(None, &seal(None, plain.clone())), Some(&plain[..]));
        let sealed = seal(Some(&ours), plain.clone());
        assert_eq!(unseal(Some(&ours), &sealed), Some(&plain[..]));
        assert_eq!(unseal(Some(&theirs), &sealed), None);
        assert_eq!(unseal(Some(&ours), &plain), None, "without a tag");
        assert_eq!(unseal(Some(&ours), b""), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(unseal(Some(&ours), &forged), None, "bit of byte {at}");
        }
    }
}
