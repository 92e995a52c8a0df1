//! A node's links, and its standing registration.
//!
//! Started by `node`; everything comes to its loop as an [`Event`]. A link reads what the
//! coordinator sends and sends what the outlet's own writes have left over. Decides nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::frame::HTTP_RESPONSE;
use protocol::peer::{Down, PEER_LINE_BYTES_MAX, Register, Registered};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::lines::{self, LineReader};
use super::outlet::Rest;
use crate::core::node::ConnId;

/// First wait before registering again; doubles up to the last.
const REGISTER_AGAIN: Duration = Duration::from_millis(20);
const REGISTER_AGAIN_MAX: Duration = Duration::from_millis(500);

/// What comes to the node's loop from links and registration.
pub(super) enum Event {
    Accepted(TcpStream),
    Down(ConnId, Box<Down>),
    Disconnected(ConnId),
    /// The coordinator will not have this node.
    Refused(String),
    /// The process was asked to end.
    Stop,
}

/// Accepts links for ever.
pub(super) async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let _ = events.send(Event::Accepted(stream)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one link until it ends.
pub(super) async fn serve(
    conn: ConnId,
    reader: OwnedReadHalf,
    rest: Rest,
    events: mpsc::Sender<Event>,
) {
    let read = async {
        let mut reader = LineReader::new(reader, PEER_LINE_BYTES_MAX);
        while let Some(down) = reader.next::<Box<Down>>().await? {
            let _ = events.send(Event::Down(conn, down)).await;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = rest.send_all() => ended,
        ended = read => ended,
    };
    if let Err(error) = ended {
        if error.to_string() == HTTP_RESPONSE {
            rest.say(HTTP_RESPONSE);
        } else {
            tracing::debug!(conn = conn.0, %error, "link ended");
        }
    }
    let _ = events.send(Event::Disconnected(conn)).await;
}

/// Keeps this node registered with whoever is the coordinator.
pub(super) async fn stay_registered(
    join: SocketAddr,
    registered: watch::Receiver<Register>,
    events: mpsc::Sender<Event>,
) {
    let mut wait = REGISTER_AGAIN;
    loop {
        let register = registered.borrow().clone();
        match register_once(join, &register).await {
            Ok(Some(reason)) => {
                let _ = events.send(Event::Refused(reason)).await;
                return;
            }
            Ok(None) => wait = REGISTER_AGAIN,
            Err(error) => tracing::debug!(%join, %error, "cannot register"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REGISTER_AGAIN_MAX);
    }
}

/// Registers and waits for the end of the connection; a refusal comes back with its reason.
async fn register_once(join: SocketAddr, register: &Register) -> io::Result<Option<String>> {
    let stream = TcpStream::connect(join).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut out = Vec::new();
    lines::write_line(&mut out, register);
    lines::send(&mut writer, &mut out).await?;
    let mut reader = LineReader::new(reader, 1 << 20);
    match reader.next::<Registered>().await? {
        Some(Registered::Welcome { .. }) => {}
        Some(Registered::Refused { reason }) => return Ok(Some(reason)),
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    while reader.next::<serde_json::Value>().await?.is_some() {}
    Ok(None)
}
