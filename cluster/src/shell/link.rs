//! The coordinator's end of a node's link: dials, reads what comes, and sends what the driver's
//! own write has left over.
//!
//! Reader and writer are futures of their own, so that neither ever waits for the other (H61). What
//! the core sends is bounded by its windows; a link that cannot take it is ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::peer::{PEER_LINE_BYTES_MAX, Up};
use protocol::proof::PROOF_LINE_BYTES_MAX;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::coordinator::Event;
use super::lines::LineReader;
use super::outlet;
use super::proof::{Proving, Purpose};
use crate::core::coordinator::Input;
use crate::tokens::PeerSecret;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(1);

/// A link under way or up; ends when dropped.
pub(super) struct Link(JoinHandle<()>);

impl Link {
    /// Begins to dial. Reports to `events` what becomes of it.
    pub(super) fn dial(
        session: u64,
        addr: SocketAddr,
        events: mpsc::Sender<Event>,
        secret: Option<PeerSecret>,
    ) -> Self {
        Self(tokio::spawn(async move {
            let refused = match run(session, addr, &events, secret.as_ref()).await {
                Ok(()) => false,
                Err(error) => {
                    if error.kind() == io::ErrorKind::PermissionDenied {
                        tracing::warn!(%addr, %error, "a node is not let in");
                    }
                    tracing::debug!(session, %addr, %error, "link ended");
                    error.kind() == io::ErrorKind::ConnectionRefused
                }
            };
            let lost = Input::LinkLost { session, refused };
            let _ = events.send(Event::Core(lost)).await;
        }))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(
    session: u64,
    addr: SocketAddr,
    events: &mpsc::Sender<Event>,
    secret: Option<&PeerSecret>,
) -> io::Result<()> {
    let dial = tokio::time::timeout(DIAL, TcpStream::connect(addr));
    let stream = dial.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = LineReader::new(reader, PROOF_LINE_BYTES_MAX);
    if let Some(secret) = secret {
        let (reader, writer) = (&mut reader, &mut writer);
        Proving { secret, purpose: Purpose::Link, reader, writer }.dial().await?;
    }
    reader.allow(PEER_LINE_BYTES_MAX);
    let (outlet, rest) = outlet::new(writer);
    let _ = events.send(Event::Linked { session, outlet }).await;
    let read = async {
        while let Some(up) = reader.next::<Up>().await? {
            let up = Box::new(up);
            let _ = events.send(Event::Core(Input::Up { session, up })).await;
        }
        Ok(())
    };
    tokio::select! {
        ended = rest.send_all() => ended,
        ended = read => ended,
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::Epoch;
    use protocol::peer::{Down, DownBody, Refusal};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::lines;
    use super::*;

    /// Messages of a MiB each: far more than the sockets' buffers hold.
    const MESSAGES: usize = 24;
    /// A deadlock fails instead of hanging.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn vote(n: u64, reason: &str) -> Up {
        let no = vec![Refusal { c: n, reason: reason.to_owned() }];
        Up { session: 1, n, epoch: Epoch(1), no, ..Up::default() }
    }

    /// H61: the node says all it has to say before it reads a word, and so does this end: each is
    /// read while it writes.
    #[tokio::test]
    async fn h61_two_ends_that_both_write_do_not_wait_for_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (events, mut came) = mpsc::channel(4);
        let _link = Link::dial(1, listener.local_addr().unwrap(), events, None);
        let (mut node, _) = listener.accept().await.unwrap();
        let Some(Event::Linked { outlet, .. }) = came.recv().await else { panic!("no link") };
        let reason = "x".repeat(1 << 20);
        let body = DownBody::Lost { reason: reason.clone() };
        let down = Down { session: 1, n: 1, epoch: Epoch(1), body };
        assert!((0..MESSAGES).all(|_| outlet.send(&down)));
        let write_then_read = async {
            let mut line = Vec::new();
            for n in 0..MESSAGES as u64 {
                lines::write_line(&mut line, &vote(n, &reason));
                node.write_all(&line).await.unwrap();
                line.clear();
            }
            let (mut lines, mut bytes) = (0, vec![0; 1 << 16]);
            while lines < MESSAGES {
                let count = node.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the link ended");
                lines += bytes[..count].iter().filter(|byte| **byte == b'\n').count();
            }
        };
        let take = async {
            for expected in 0..MESSAGES as u64 {
                match came.recv().await {
                    Some(Event::Core(Input::Up { up, .. })) => assert_eq!(up.n, expected),
                    _ => panic!("the link ended"),
                }
            }
        };
        let both = async { tokio::join!(write_then_read, take) };
        tokio::time::timeout(PATIENCE, both).await.expect("neither waits for the other");
    }
}
