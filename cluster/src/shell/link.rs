//! The coordinator's end of a node's link: dials, writes what the core sends, reads what comes.
//!
//! Reader and writer are futures of their own, so that neither ever waits for the other (H61). What
//! the core sends is bounded by its windows; a link that cannot take it is ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::peer::{Down, PEER_LINE_BYTES_MAX, Up};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::coordinator::Event;
use super::lines::{self, LineReader};
use crate::core::coordinator::Input;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(1);
/// Messages that may wait for a link's socket.
const QUEUE_MAX: usize = 1_024;

/// A link under way or up; ends when dropped.
pub(super) struct Link {
    messages: mpsc::Sender<Box<Down>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to dial.
    pub(super) fn dial(session: u64, addr: SocketAddr, events: mpsc::Sender<Event>) -> Self {
        let (messages, queue) = mpsc::channel(QUEUE_MAX);
        let task = tokio::spawn(async move {
            let refused = match run(session, addr, queue, &events).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::debug!(session, %addr, %error, "link ended");
                    error.kind() == io::ErrorKind::ConnectionRefused
                }
            };
            let lost = Input::LinkLost { session, refused };
            let _ = events.send(Event::Core(lost)).await;
        });
        Self { messages, task }
    }

    /// Hands a message to the writer; false if the link cannot take it.
    pub(super) fn send(&self, down: Box<Down>) -> bool {
        self.messages.try_send(down).is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    session: u64,
    addr: SocketAddr,
    mut queue: mpsc::Receiver<Box<Down>>,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let dial = tokio::time::timeout(DIAL, TcpStream::connect(addr));
    let stream = dial.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let _ = events.send(Event::Core(Input::LinkUp { session })).await;
    let write = async {
        let mut out = Vec::new();
        while let Some(down) = queue.recv().await {
            lines::write_line(&mut out, &down);
            while let Ok(down) = queue.try_recv() {
                lines::write_line(&mut out, &down);
            }
            lines::send(&mut writer, &mut out).await?;
        }
        Ok(())
    };
    let read = async {
        let mut reader = LineReader::new(reader, PEER_LINE_BYTES_MAX);
        while let Some(up) = reader.next::<Box<Up>>().await? {
            let _ = events.send(Event::Core(Input::Up { session, up })).await;
        }
        Ok(())
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
    }
}
