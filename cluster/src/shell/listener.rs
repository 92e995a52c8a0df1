//! Binds ports; accepts clients while there are places for them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::reply;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::connection::{self, Shared};
use super::places::Places;

/// How long accepting rests when the system has no descriptor left (H59).
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// How long a client that finds no place may take to hear so.
const TURN_AWAY: Duration = Duration::from_secs(1);

/// Binds a port for listening; taken back at once after a restart of this server.
pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(4096)
}

/// A socket for heartbeats to the coordinator.
pub(super) async fn heartbeat_socket(join: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match join {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let udp = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    udp.connect(join).await?;
    Ok(udp)
}

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Places::new(&shared.limits);
    let mut next_id = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        if let Some(place) = places.take() {
            next_id += 1;
            tokio::spawn(connection::serve(next_id, stream, Arc::clone(&shared), place));
        } else if let Some(permit) = places.turn_away() {
            tokio::spawn(async move {
                turn_away(stream).await;
                drop(permit);
            });
        }
    }
}

/// Says that there is no place.
async fn turn_away(stream: TcpStream) {
    let error = ErrorReply::overloaded("connections", 1_000);
    let mut line = Vec::new();
    reply::write_reply(&mut line, None, false, &reply::error_tail(&error));
    let (reader, mut writer) = stream.into_split();
    if let Ok(Ok(())) = tokio::time::timeout(TURN_AWAY, writer.write_all(&line)).await {
        connection::part(reader, writer).await;
    }
}
