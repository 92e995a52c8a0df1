//! The supervisor's port: accepts connections, up to a limit.
//!
//! Started by `run`; each connection is a task of `connection`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use super::fleet::Refusal;
use super::run::News;
use super::{connection, request};
use crate::tokens::Tokens;

/// Connections served at a time.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// The pause after a failed accept (no descriptors left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// Where requests go.
    pub(super) news: mpsc::Sender<News>,
    /// Where the servers' logs are.
    pub(super) logs: Arc<Path>,
    /// Who may do what.
    pub(super) tokens: Arc<Tokens>,
}

impl Endpoint {
    /// Accepts until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut last_id = 0;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let endpoint = self.clone();
                    last_id += 1;
                    tokio::spawn(async move {
                        connection::serve(last_id, stream, endpoint).await;
                        drop(place);
                    });
                }
                Err(_) => refuse(&stream),
            }
        }
    }
}

/// Answers a connection over the limit, as far as that is possible without waiting.
fn refuse(stream: &TcpStream) {
    let error = format!("{CONNECTIONS_MAX} connections are open; close one or try again later");
    let fields = serde_json::json!({ "retry_after_ms": 1000 });
    let line = request::answer(None, Err(Refusal { code: "overloaded", error, fields }));
    let _ = stream.try_write(&line);
}
