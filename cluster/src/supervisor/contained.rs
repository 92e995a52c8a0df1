//! Work for a reply on a thread of its own: a disk that hangs holds up nobody else, and a defect
//! ends neither the connection nor the supervisor.
//!
//! Called by `connection`. A defect is logged under an id, and answered `internal` with the same.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::error::{ErrorCode, ErrorReply};
use serde_json::json;

use super::fleet::{Refusal, Reply};

/// What `work` answers; `internal` where it does not come to its end.
pub(super) async fn contained(work: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    match tokio::task::spawn_blocking(work).await {
        Ok(reply) => reply,
        Err(defect) => {
            let incident = incident();
            tracing::error!(incident, %defect, "a defect of the supervisor: please report it");
            let error = ErrorReply::internal(incident.as_str());
            let fields = json!({ "incident": incident });
            let code = ErrorCode::Internal.as_str();
            Err(Refusal { fields, ..Refusal::new(code, error.error.to_string()) })
        }
    }
}

/// An id that this machine's logs have once.
fn incident() -> String {
    static MET: AtomicU64 = AtomicU64::new(0);
    let number = MET.fetch_add(1, Ordering::Relaxed) + 1;
    format!("supervisor-{}-{number}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Contract: "`internal` | `incident` | a bug; logged under that id | report it"
    #[test]
    fn a_defect_is_logged_under_the_id_that_is_answered() {
        let lines = Lines::default();
        let log = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).finish();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (defect, plain) = tracing::subscriber::with_default(subscriber, || {
            runtime.block_on(async {
                let defect = contained(|| panic!("an invariant is broken")).await;
                (defect.unwrap_err(), contained(|| Ok(json!({ "lines": [] }))).await)
            })
        });
        assert_eq!(plain, Ok(json!({ "lines": [] })));
        assert_eq!(defect.code, "internal");
        let incident = defect.fields["incident"].as_str().unwrap();
        assert!(defect.error.contains("report it") && defect.error.contains(incident));
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(logged.contains("ERROR") && logged.contains(incident), "{logged}");
        assert!(logged.contains("an invariant is broken"), "{logged}");
    }
}
