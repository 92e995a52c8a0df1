//! Nodes that announce themselves: TCP registration and UDP heartbeats on the coordinator's peer
//! port. Grants nothing; hands everything to the core (R15).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::frame::HTTP_RESPONSE;
use protocol::peer::{Heartbeat, Register, Registered};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::coordinator::Event;
use super::lines::{self, LineReader};
use crate::core::coordinator::{Input, RegistrationId};

/// Longest registration, bytes: it holds a ring of many tokens.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Registration connections open at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a registration may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest heartbeat, bytes.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Accepts registrations for ever.
pub(super) async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut next_id = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        next_id += 1;
        open.fetch_add(1, Ordering::Relaxed);
        let (conn, events, open) = (RegistrationId(next_id), events.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            if let Err(error) = serve(conn, stream, &events).await {
                tracing::debug!(?conn, %error, "registration ended");
            }
            let _ = events.send(Event::Core(Input::Unregistered(conn))).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(
    conn: RegistrationId,
    stream: TcpStream,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = LineReader::new(reader, LINE_BYTES_MAX);
    let first = tokio::time::timeout(PATIENCE, reader.next::<Register>()).await;
    let register = match first.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
        Ok(Some(register)) => Box::new(register),
        Ok(None) => return Ok(()),
        Err(error) => {
            if error.to_string().starts_with("HTTP/") {
                writer.write_all(HTTP_RESPONSE.as_bytes()).await?;
            }
            return Err(error);
        }
    };
    let (answer_in, answer) = oneshot::channel();
    let event = Event::Register { conn, register, answer: answer_in };
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    events.send(event).await.map_err(|_| gone())?;
    let answer = answer.await.map_err(|_| gone())?;
    let mut out = Vec::new();
    lines::write_line(&mut out, &answer);
    lines::send(&mut writer, &mut out).await?;
    if matches!(answer, Registered::Refused { .. }) {
        return Ok(());
    }
    // Silent from here on: its end is the message.
    while reader.next::<serde_json::Value>().await?.is_some() {}
    Ok(())
}

/// Receives heartbeats for ever. They are never answered.
pub(super) async fn heartbeats(socket: UdpSocket, events: mpsc::Sender<Event>) {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    loop {
        // An error here concerns one datagram, or a sender that has gone.
        let Ok(length) = socket.recv(&mut datagram).await else { continue };
        let heartbeat = serde_json::from_slice::<Box<Heartbeat>>(&datagram[..length]);
        if let Ok(heartbeat) = heartbeat {
            let _ = events.send(Event::Core(Input::Heartbeat(heartbeat))).await;
        }
    }
}
