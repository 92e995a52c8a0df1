//! The coordinator's end of a node's link: dials, reads what comes, and sends what the driver's
//! own write has left over.
//!
//! Reader and writer are futures of their own, so that neither ever waits for the other (H61). What
//! the core sends is bounded by its windows; a link that cannot take it is ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::peer::{PEER_LINE_BYTES_MAX, Up};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::coordinator::Event;
use super::lines::LineReader;
use super::outlet;
use crate::core::coordinator::Input;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(1);

/// A link under way or up; ends when dropped.
pub(super) struct Link(JoinHandle<()>);

impl Link {
    /// Begins to dial. Reports to `events` what becomes of it.
    pub(super) fn dial(session: u64, addr: SocketAddr, events: mpsc::Sender<Event>) -> Self {
        Self(tokio::spawn(async move {
            let refused = match run(session, addr, &events).await {
                Ok(()) => false,
                Err(error) => {
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

async fn run(session: u64, addr: SocketAddr, events: &mpsc::Sender<Event>) -> io::Result<()> {
    let dial = tokio::time::timeout(DIAL, TcpStream::connect(addr));
    let stream = dial.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let (outlet, rest) = outlet::new(writer);
    let _ = events.send(Event::Linked { session, outlet }).await;
    let read = async {
        let mut reader = LineReader::new(reader, PEER_LINE_BYTES_MAX);
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
