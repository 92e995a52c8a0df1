//! A node's links, and its standing registration.
//!
//! Started by `node`; whatever comes is handed to the engine at once. A link reads what the
//! coordinator sends and sends what the outlet's own writes have left over. Decides nothing.
//!
//! Links have a thread of their own, which also writes the log while the disk is quick. So what
//! comes may have to wait for a sync, but heartbeats and registration never do (H43).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::frame::HTTP_RESPONSE;
use protocol::peer::{Down, PEER_LINE_BYTES_MAX, Register, Registered, too_far_apart};
use protocol::proof::PROOF_LINE_BYTES_MAX;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::engine::{End, Engine, State};
use super::lines::{self, LineReader};
use super::outlet::{self, Rest};
use super::proof::{Proving, Purpose};
use crate::core::node::ConnId;
use crate::tokens::PeerSecret;

/// Messages that are taken in together at most.
const TURN_MAX: usize = 1_024;
/// Connections at a time that have not proved the peer token yet; more are closed.
const UNPROVEN_MAX: usize = 64;
/// Longest answer to a registration, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// First wait before registering again; doubles up to the last.
const REGISTER_AGAIN: Duration = Duration::from_millis(20);
const REGISTER_AGAIN_MAX: Duration = Duration::from_millis(500);

/// Starts the thread of all links.
pub(super) fn start(
    listener: TcpListener,
    engine: Arc<Engine>,
    secret: Option<PeerSecret>,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        let links = Arc::clone(&engine);
        let ended = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            tokio::spawn(accept(listener, links, secret)).await.map_err(io::Error::other)
        });
        let reason = format!("the thread of its links has ended: {ended:?}");
        engine.turn(|state, _| state.end(End::Fatal(reason)));
    };
    std::thread::Builder::new().name("links".into()).spawn(serve)?;
    Ok(())
}

/// Accepts links for ever.
async fn accept(listener: TcpListener, engine: Arc<Engine>, secret: Option<PeerSecret>) {
    let unproven = Arc::new(Semaphore::new(UNPROVEN_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let reader = LineReader::new(reader, PROOF_LINE_BYTES_MAX);
        let Some(secret) = secret.clone() else {
            begin(reader, writer, &engine);
            continue;
        };
        let Ok(place) = Arc::clone(&unproven).try_acquire_owned() else { continue };
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            let proven = prove(reader, writer, &secret).await;
            drop(place);
            match proven {
                Ok((reader, writer)) => begin(reader, writer, &engine),
                Err(error) => tracing::warn!(%error, "a link is not let in"),
            }
        });
    }
}

/// Has whoever dialled prove the peer token.
async fn prove(
    mut reader: LineReader,
    mut writer: OwnedWriteHalf,
    secret: &PeerSecret,
) -> io::Result<(LineReader, OwnedWriteHalf)> {
    let (read, write) = (&mut reader, &mut writer);
    let proving = Proving { secret, purpose: Purpose::Link, reader: read, writer: write };
    match proving.listen().await {
        Ok(()) => Ok((reader, writer)),
        Err(error) => {
            if error.to_string() == HTTP_RESPONSE {
                let _ = writer.try_write(HTTP_RESPONSE.as_bytes());
            }
            Err(error)
        }
    }
}

/// Hands a link to the engine, if that takes it.
fn begin(mut reader: LineReader, writer: OwnedWriteHalf, engine: &Arc<Engine>) {
    reader.allow(PEER_LINE_BYTES_MAX);
    let (outlet, rest) = outlet::new(writer);
    let mut accepted = None;
    engine.turn(|state, _| accepted = state.on_accepted(outlet));
    if let Some(conn) = accepted {
        tokio::spawn(serve(conn, reader, rest, Arc::clone(engine)));
    }
}

/// Serves one link until it ends.
async fn serve(conn: ConnId, mut reader: LineReader, rest: Rest, engine: Arc<Engine>) {
    let read = async {
        while let Some(first) = reader.next::<Down>().await? {
            let mut all = vec![first];
            while all.len() < TURN_MAX
                && let Some(next) = reader.ready()?
            {
                all.push(next);
            }
            let take_in = |state: &mut State, now| {
                for down in all {
                    state.on_down(now, conn, down);
                }
            };
            if !engine.turn_here(take_in) {
                break;
            }
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
    engine.turn(|state, now| state.on_disconnected(now, conn));
}

/// Keeps this node registered with whoever is the coordinator.
pub(super) async fn stay_registered(
    join: SocketAddr,
    registered: watch::Receiver<Register>,
    engine: Arc<Engine>,
    secret: Option<PeerSecret>,
) {
    let mut wait = REGISTER_AGAIN;
    let mut warned = false;
    loop {
        let register = registered.borrow().clone();
        match register_once(join, &register, secret.as_ref()).await {
            Ok(Some(reason)) => {
                let reason = format!("the coordinator refuses this node: {reason}");
                engine.turn(|state, _| state.end(End::Fatal(reason)));
                return;
            }
            Ok(None) => wait = REGISTER_AGAIN,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !warned => {
                // Once: it is tried again until it succeeds, and nothing new would be said.
                warned = true;
                tracing::warn!(%join, %error, "cannot register");
            }
            Err(error) => tracing::debug!(%join, %error, "cannot register"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REGISTER_AGAIN_MAX);
    }
}

/// Registers and waits for the end of the connection; a refusal that is final comes back with its
/// reason.
async fn register_once(
    join: SocketAddr,
    register: &Register,
    secret: Option<&PeerSecret>,
) -> io::Result<Option<String>> {
    let stream = TcpStream::connect(join).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = LineReader::new(reader, ANSWER_BYTES_MAX);
    if let Some(secret) = secret {
        let (reader, writer) = (&mut reader, &mut writer);
        Proving { secret, purpose: Purpose::Registration, reader, writer }.dial().await?;
    }
    let mut out = Vec::new();
    lines::write_line(&mut out, register);
    lines::send(&mut writer, &mut out).await?;
    match reader.next::<Registered>().await? {
        Some(Registered::Welcome(coordinator)) => {
            let ours = &register.greeting;
            if ours.is_foreign(&coordinator) {
                return Ok(Some("it is another cluster's: check --join".to_owned()));
            }
            if let Some(reason) = too_far_apart(ours, &coordinator) {
                return Ok(Some(reason));
            }
            tracing::info!(%join, version = ?coordinator.version, "registered");
        }
        Some(Registered::Refused { reason, later: true }) => {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        Some(Registered::Refused { reason, later: false }) => return Ok(Some(reason)),
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    while reader.next::<serde_json::Value>().await?.is_some() {}
    Ok(None)
}
