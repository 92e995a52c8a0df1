//! A relay in front of the coordinator that cuts connections in the middle of requests.
//!
//! Of each portion that a client sends, it may pass on nothing, a part, or all before it cuts: so
//! the request was not sent, is broken, or was carried out and its answer is lost. The client, the
//! library's own, cannot tell which. Must be started within a runtime, and ends with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::check::seeded::Seeded;

/// One portion in so many is the last one of its connection.
const CUT_ONE_IN: u64 = 25;

/// A relay.
pub(super) struct Cutter {
    /// Where clients connect.
    pub(super) addr: SocketAddr,
    /// How many connections it has cut.
    pub(super) cuts: Arc<AtomicU64>,
}

impl Cutter {
    /// A relay to `to`.
    pub(super) async fn start(to: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let cuts = Arc::new(AtomicU64::new(0));
        let count = cuts.clone();
        tokio::spawn(async move {
            let mut random = Seeded::new(seed);
            while let Ok((client, _)) = listener.accept().await {
                let (random, cuts) = (Seeded::new(random.bits()), count.clone());
                tokio::spawn(relay(client, to, random, cuts));
            }
        });
        Self { addr, cuts }
    }
}

/// Both ways, until one side ends or a cut; then both ends are closed by being dropped.
async fn relay(mut client: TcpStream, to: SocketAddr, mut random: Seeded, cuts: Arc<AtomicU64>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asked, mut told) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let Ok(count @ 1..) = count else { return };
                let cut = random.below(CUT_ONE_IN) == 0;
                let passed = match random.below(3) {
                    _ if !cut => count,
                    0 => 0,
                    1 => random.below(count as u64) as usize,
                    _ => count,
                };
                if server.write_all(&asked[..passed]).await.is_err() {
                    return;
                }
                if cut {
                    cuts.fetch_add(1, Relaxed);
                    return;
                }
            }
            count = server.read(&mut told) => {
                let Ok(count @ 1..) = count else { return };
                if client.write_all(&told[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
