//! Nodes that announce themselves: TCP registration and UDP heartbeats on the coordinator's peer
//! port. Grants nothing; hands everything to the core (R15).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::frame::HTTP_RESPONSE;
use protocol::peer::{Heartbeat, Register, Registered};
use protocol::proof::PROOF_LINE_BYTES_MAX;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::coordinator::Event;
use super::lines::{self, LineReader};
use super::proof::{self, Proving, Purpose};
use crate::core::coordinator::{Input, RegistrationId};
use crate::tokens::PeerSecret;

/// Longest registration, bytes: it holds a ring of many tokens.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Registration connections open at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a registration may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest heartbeat, bytes.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Accepts registrations for ever.
pub(super) async fn accept(
    listener: TcpListener,
    events: mpsc::Sender<Event>,
    secret: Option<PeerSecret>,
) {
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
        let secret = secret.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(conn, stream, &events, secret.as_ref()).await {
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
    secret: Option<&PeerSecret>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = LineReader::new(reader, PROOF_LINE_BYTES_MAX);
    if let Some(secret) = secret {
        let (reader, writer) = (&mut reader, &mut writer);
        let proving = Proving { secret, purpose: Purpose::Registration, reader, writer };
        if let Err(error) = proving.listen().await {
            return Err(turn_away(writer, error).await);
        }
    }
    reader.allow(LINE_BYTES_MAX);
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
    let (answer_in, mut answers) = mpsc::channel(1);
    let event = Event::Register { conn, register, answer: answer_in };
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    events.send(event).await.map_err(|_| gone())?;
    let answer = answers.recv().await.ok_or_else(gone)?;
    let mut out = Vec::new();
    lines::write_line(&mut out, &answer);
    lines::send(&mut writer, &mut out).await?;
    if matches!(answer, Registered::Refused { .. }) {
        return Ok(());
    }
    // Silent from here on: its end is the message, whoever ends it.
    let silence = async {
        while reader.next::<serde_json::Value>().await?.is_some() {}
        Ok(())
    };
    tokio::select! {
        ended = silence => ended,
        _ = answers.recv() => Ok(()),
    }
}

/// Answers whoever does not prove the peer token.
async fn turn_away(writer: &mut OwnedWriteHalf, error: io::Error) -> io::Error {
    let mut out = Vec::new();
    if error.to_string().starts_with("HTTP/") {
        out.extend_from_slice(HTTP_RESPONSE.as_bytes());
    } else {
        let reason = "this cluster has a peer token: start the node with its --peer-token-file";
        let refused = Registered::Refused { reason: reason.to_owned(), later: false };
        lines::write_line(&mut out, &refused);
    }
    match lines::send(writer, &mut out).await {
        Ok(()) => error,
        Err(unsent) => unsent,
    }
}

/// Receives heartbeats for ever. They are never answered, and forged ones not looked at.
pub(super) async fn heartbeats(
    socket: UdpSocket,
    events: mpsc::Sender<Event>,
    secret: Option<PeerSecret>,
) {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    loop {
        // An error here concerns one datagram, or a sender that has gone.
        let Ok(length) = socket.recv(&mut datagram).await else { continue };
        let Some(text) = proof::unseal(secret.as_ref(), &datagram[..length]) else { continue };
        if let Ok(heartbeat) = serde_json::from_slice::<Box<Heartbeat>>(text) {
            let _ = events.send(Event::Core(Input::Heartbeat(heartbeat))).await;
        }
    }
}
