//! Binds ports; accepts clients, up to the limit of connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::reply;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::connection::{self, Shared};

/// How long accepting rests when the system has no descriptor left (H59).
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

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
    let open = Arc::new(AtomicUsize::new(0));
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
        if open.load(Ordering::Relaxed) >= shared.limits.connections {
            tokio::spawn(turn_away(stream));
            continue;
        }
        next_id += 1;
        open.fetch_add(1, Ordering::Relaxed);
        let (shared, open) = (Arc::clone(&shared), Arc::clone(&open));
        tokio::spawn(async move {
            connection::serve(next_id, stream, shared).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    let error = ErrorReply::overloaded("too many connections are open", 1_000);
    let mut line = Vec::new();
    reply::write_reply(&mut line, None, false, &reply::error_tail(&error));
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&line)).await;
}
