//! What goes on in the background of a demo, in a thread of its own: requests, or a shop.
//!
//! Used by `stage` and `shop`.

use std::time::Duration;

use protocol::load::{self, Distribution, Kind, Plan, Work};
use tokio::sync::oneshot;
use tui::demo::script::Load;

/// Longer than any demo.
const LOAD_MAX: Duration = Duration::from_secs(3_600);
/// Keys of a demo begin so.
const PREFIX: &str = "demo:";
/// How many connections fill its keys.
const FILLERS: usize = 4;

/// Something that goes on until this is dropped, or to its end.
pub(super) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Background {
    /// Begins it.
    pub(super) fn begin<W: Future<Output = ()>>(work: impl FnOnce() -> W + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                tokio::select! {
                    () = work() => {}
                    _ = stopped => {}
                }
            });
        };
        // Where the system has no thread left, the demo finds that nothing is done.
        let thread = std::thread::Builder::new().name("background".into()).spawn(run).ok();
        Self { stop: Some(stop), thread }
    }

    /// Requests.
    pub(super) fn load(addresses: &str, load: &Load) -> Self {
        let (addresses, load) = (addresses.to_owned(), load.clone());
        Self::begin(move || async move { ask(&addresses, &load).await })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with was told.
            let _ = thread.join();
        }
    }
}

/// Puts every key once, then asks what the load says. What cannot be asked is missed by the demo
/// itself: it expects what comes of it.
async fn ask(addresses: &str, load: &Load) {
    let keys = Plan { keys: load.keys, prefix: PREFIX.into(), seed: load.seed, ..Plan::default() };
    let fill =
        Plan { work: Work::EachKey(Kind::Put), connections: FILLERS, depth: 8, ..keys.clone() };
    let Ok(mut filling) = load::start(addresses, fill).await else { return };
    filling.ended().await;
    let mix = format!("get={},put={}", load.reads, 100 - load.reads);
    let Ok(mix) = mix.parse() else { return };
    let distribution = match load.zipf {
        theta if theta > 0.0 => Distribution::Zipf { theta },
        _ => Distribution::Uniform,
    };
    let plan = Plan {
        work: Work::Drawn { mix, distribution },
        connections: load.clients as usize,
        rate: load.rate,
        duration: Some(LOAD_MAX),
        answer_wait: Duration::from_secs(10),
        ..keys
    };
    if let Ok(mut running) = load::start(addresses, plan).await {
        running.ended().await;
    }
}
