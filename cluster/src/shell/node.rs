//! A storage node's process: its directory, its two lanes, its links, and the one loop that owns
//! the core.
//!
//! At start it recovers first: state file, log, keystore, replay. Only then it listens, and only
//! then it registers (R9, H34). It serves nobody until the coordinator has told it what it missed.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::frame::HTTP_RESPONSE;
use protocol::ids::{Epoch, GroupSeq};
use protocol::peer::{Down, PEER_LINE_BYTES_MAX, PEER_PROTOCOL, Register, Registered, Up};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::directory::{self, Directory, Refusal};
use super::lanes::{self, Done, KeyJob, Lane, LogGauge, LogJob};
use super::lines::{self, LineReader};
use super::pulse::Pulse;
use super::{clock, listener};
use crate::config::{NodeConfig, StorageKind};
use crate::core::node::{CHECKPOINT_BYTES, ConnId, Effect, ExitReason, Input, NodeCore, Restart};
use crate::core::ring::Ring;
use crate::process::Announcer;
use crate::storage::keystore::Keystore;
use crate::storage::keystore::fjall::FjallKeystore;
use crate::storage::keystore::memory::MemoryKeystore;
use crate::storage::log::{Log, LogConfig, Tail};

/// Messages that may wait for the loop; then the links wait.
const LINK_LANE: usize = 1_024;
/// Reports of the lanes that may wait for the loop; then the lanes wait.
const DONE_LANE: usize = 16_384;
/// Links open at a time: one is in use, others are on their way out.
const LINKS_MAX: usize = 16;
/// Inputs between two flushes at most.
const TURN_MAX: usize = 1_024;
/// First wait before registering again; doubles up to the last.
const REGISTER_AGAIN: Duration = Duration::from_millis(20);
const REGISTER_AGAIN_MAX: Duration = Duration::from_millis(500);
/// Decided writes are replayed in portions of so many.
const REPLAY_PORTION: usize = 4_096;
/// The keystore's cache of blocks, bytes.
const KEYSTORE_CACHE_BYTES: u64 = 64 << 20;

/// How a node ended.
enum End {
    /// It was asked to.
    Stopped,
    /// It must not run, and a restart would end the same way.
    Fatal(String),
}

/// Runs a node until it is stopped.
pub fn run_node(config: NodeConfig) -> ExitCode {
    let announcer = match Announcer::start() {
        Ok(announcer) => announcer,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    // As a task, not as the root future: waking a task costs no system call.
    let node = run(config, announcer.clone());
    let ended = runtime
        .block_on(async { tokio::spawn(node).await.unwrap_or_else(|error| Err(error.into())) });
    match ended {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::Fatal(reason)) => {
            announcer.fatal(&reason);
            fail(&reason)
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(reason: &str) -> ExitCode {
    tracing::error!("the node ends: {reason}");
    eprintln!("piazza node: {reason}");
    ExitCode::from(5)
}

/// What comes to the loop from links and registration.
enum Event {
    Accepted(TcpStream),
    Down(ConnId, Box<Down>),
    Disconnected(ConnId),
    /// The coordinator will not have this node.
    Refused(String),
    /// The process was asked to end.
    Stop,
}

struct Driver {
    core: NodeCore,
    log: Lane<LogJob>,
    keys: Lane<KeyJob>,
    /// Where messages for each open link go. A link ends, once it has sent what it holds, when
    /// its sender is dropped.
    conns: HashMap<ConnId, mpsc::Sender<Box<Up>>>,
    last_conn: u64,
    events: mpsc::Sender<Event>,
    register: watch::Sender<Register>,
    announcer: Announcer,
    ring: Option<Arc<Ring>>,
    pulse: Pulse,
    end: Option<End>,
    stopping: bool,
}

async fn run(config: NodeConfig, announcer: Announcer) -> Result<End, Refusal> {
    let durable = config.storage == StorageKind::Disk;
    let directory = directory::open(&config.dir, &config.name, durable)?;
    let Started { core, effects, log, keystore, state } = match start(directory) {
        Ok(started) => started,
        Err(error) => return Ok(End::Fatal(error.to_string())),
    };
    let gauge = Arc::new(LogGauge::default());
    gauge.bytes.store(log.bytes(), Ordering::Relaxed);
    let (done_in, mut done) = mpsc::channel(DONE_LANE);
    let log = lanes::log_lane(log, state, Arc::clone(&gauge), done_in.clone())?;
    let keys = lanes::key_lane(keystore, done_in)?;
    let udp = listener::heartbeat_socket(config.join).await?;
    // The coordinator may be on another machine: this one's address on the way there is its own.
    let sockets = listener::bind(SocketAddr::new(udp.local_addr()?.ip(), 0))?;
    let addr = sockets.local_addr()?;
    let (events_in, mut events) = mpsc::channel(LINK_LANE);
    let (register, registered) = watch::channel(registration(&core, &config, addr, durable));
    let pulse = Pulse::new(udp, gauge, config.heartbeat);
    let mut driver = Driver {
        core,
        log,
        keys,
        conns: HashMap::new(),
        last_conn: 0,
        events: events_in.clone(),
        register,
        announcer: announcer.clone(),
        ring: None,
        pulse,
        end: None,
        stopping: false,
    };
    driver.perform(effects);
    tokio::spawn(accept(sockets, events_in.clone()));
    tokio::spawn(stay_registered(config.join, registered, events_in.clone()));
    tokio::spawn(stop_on_signal(events_in));
    tracing::info!(%addr, incarnation = driver.core.meta().incarnation.0, "node listens");
    announcer.node_listening(addr);
    let mut beat = tokio::time::interval(config.heartbeat);
    while driver.end.is_none() && !driver.stopping {
        tokio::select! {
            biased;
            report = done.recv() => driver.on_done(report),
            event = events.recv() => driver.on_event(event),
            _ = beat.tick() => driver.beat().await,
            () = sleep_until(driver.core.next_deadline()) => driver.hand_in(Input::Tick),
        }
        for _ in 0..TURN_MAX {
            if let Ok(report) = done.try_recv() {
                driver.on_done(Some(report));
            } else if let Ok(event) = events.try_recv() {
                driver.on_event(Some(event));
            } else {
                break;
            }
        }
        driver.hand_in(Input::Flush);
    }
    match driver.end.take() {
        Some(end) => Ok(end),
        None => Ok(driver.stop(done).await),
    }
}

async fn sleep_until(deadline: Option<crate::core::time::Time>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(clock::instant_of(at)).await,
        None => std::future::pending().await,
    }
}

/// A node that has recovered what its directory holds.
struct Started {
    core: NodeCore,
    effects: Vec<Effect>,
    log: Log,
    keystore: Box<dyn Keystore>,
    state: crate::storage::small_file::SmallFile,
}

/// Log and keystore to a core, in the order that R9 asks for.
fn start(directory: Directory) -> Result<Started, Refusal> {
    let Directory { disk, identity, mut state, mut meta, keystore, .. } = directory;
    let mut keystore: Box<dyn Keystore> = match keystore {
        Some(path) => Box::new(FjallKeystore::open(&path, identity, KEYSTORE_CACHE_BYTES)?),
        None => Box::new(MemoryKeystore::new()),
    };
    let through = keystore.checkpointed();
    let mut restart = Restart::new(meta.clone(), through, CHECKPOINT_BYTES);
    let mut decided = Vec::new();
    let mut replayed = GroupSeq(0);
    let mut failed = None;
    let opened = Log::open(disk, LogConfig::new(identity), &mut |seq, record| {
        restart.replay(seq, record, &mut decided);
        if decided.len() >= REPLAY_PORTION && failed.is_none() {
            failed = keystore.apply(&decided, replayed).err();
            decided.clear();
        }
        replayed = GroupSeq(seq.0 - 1).max(replayed);
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    keystore.apply(&decided, opened.end)?;
    if opened.first.0 > through.0 + 1 {
        return Err(format!(
            "the keystore ends at group {} and the log begins at group {}: this store has lost \
             data, start it with an empty directory to let it rejoin as a new one",
            through.0, opened.first.0
        )
        .into());
    }
    if opened.fresh && (meta.ring.is_some() || through > GroupSeq(0)) && meta.fence.epoch > Epoch(0)
    {
        return Err("the log is gone though the state file is there: this store has lost data, \
                    start it with an empty directory to let it rejoin as a new one"
            .into());
    }
    if let Tail::Cut { after } = opened.tail {
        tracing::warn!(after = after.0, "an invalid tail was cut off the log");
        meta.cut_through = meta.fence.epoch;
        directory::save(&mut state, &meta)?;
        restart.cut(meta.fence.epoch);
    }
    let (core, effects) = restart.finish(clock::now(), opened.end);
    Ok(Started { core, effects, log: opened.log, keystore, state })
}

fn registration(core: &NodeCore, config: &NodeConfig, addr: SocketAddr, durable: bool) -> Register {
    let meta = core.meta();
    Register {
        protocol: PEER_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: meta.name.clone(),
        uuid: meta.store,
        incarnation: meta.incarnation,
        addr,
        pid: std::process::id(),
        supervisor: config.supervisor,
        durable,
        fence: meta.fence.epoch,
        ring: meta.ring.clone(),
    }
}

/// Accepts links for ever.
async fn accept(listener: TcpListener, events: mpsc::Sender<Event>) {
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

async fn stop_on_signal(events: mpsc::Sender<Event>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; stop this process with SIGKILL");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    let _ = events.send(Event::Stop).await;
}

/// Keeps this node registered with whoever is the coordinator.
async fn stay_registered(
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

/// Reads and writes one link.
async fn serve_link(
    conn: ConnId,
    stream: TcpStream,
    mut queue: mpsc::Receiver<Box<Up>>,
    events: mpsc::Sender<Event>,
) {
    let (reader, mut writer) = stream.into_split();
    let write = async {
        let mut out = Vec::new();
        while let Some(up) = queue.recv().await {
            lines::write_line(&mut out, &up);
            while let Ok(up) = queue.try_recv() {
                lines::write_line(&mut out, &up);
            }
            lines::send(&mut writer, &mut out).await?;
        }
        io::Result::Ok(())
    };
    let read = async {
        let mut reader = LineReader::new(reader, PEER_LINE_BYTES_MAX);
        while let Some(down) = reader.next::<Box<Down>>().await? {
            let _ = events.send(Event::Down(conn, down)).await;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = read => ended,
    };
    if let Err(error) = ended {
        if error.to_string() == HTTP_RESPONSE {
            let _ = writer.write_all(HTTP_RESPONSE.as_bytes()).await;
        } else {
            tracing::debug!(conn = conn.0, %error, "link ended");
        }
    }
    let _ = events.send(Event::Disconnected(conn)).await;
}

impl Driver {
    fn on_event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Accepted(stream)) => self.on_accepted(stream),
            Some(Event::Down(conn, down)) => self.hand_in(Input::Down { conn, down: *down }),
            Some(Event::Disconnected(conn)) => {
                self.conns.remove(&conn);
                self.hand_in(Input::Disconnected(conn));
            }
            Some(Event::Refused(reason)) => {
                self.end = Some(End::Fatal(format!("the coordinator refuses this node: {reason}")));
            }
            Some(Event::Stop) => self.stopping = true,
            None => {}
        }
    }

    fn on_accepted(&mut self, stream: TcpStream) {
        if self.conns.len() >= LINKS_MAX {
            // Strangers that connect and say nothing must not keep the coordinator out.
            let idle = self.conns.keys().filter(|conn| Some(**conn) != self.core.conn()).min();
            let Some(idle) = idle.copied() else { return };
            self.conns.remove(&idle);
        }
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let (messages, queue) = mpsc::channel(LINK_LANE);
        tokio::spawn(serve_link(conn, stream, queue, self.events.clone()));
        self.conns.insert(conn, messages);
    }

    fn on_done(&mut self, report: Option<Done>) {
        match report {
            Some(Done::Synced(seq)) => self.hand_in(Input::Synced(seq)),
            Some(Done::Saved(number)) => {
                self.hand_in(Input::MetaSaved(number));
                let meta = self.core.meta();
                let (fence, ring) = (meta.fence.epoch, meta.ring.clone());
                self.register.send_modify(|register| {
                    register.fence = fence;
                    register.ring = ring;
                });
            }
            Some(Done::Read(token, found)) => {
                self.pulse.reads += 1;
                self.hand_in(Input::ReadDone { token, found });
            }
            Some(Done::Checkpointed(through)) => self.hand_in(Input::Checkpointed(through)),
            Some(Done::Counts(counts)) => self.pulse.counts = counts,
            Some(Done::Failed(reason)) => self.end = Some(End::Fatal(reason)),
            Some(Done::Stopped) | None => {}
        }
    }

    fn hand_in(&mut self, input: Input) {
        let effects = self.core.handle(clock::now(), input);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let given = match effect {
                Effect::Send { conn, up } => {
                    let sent = self.conns.get(&conn).map(|link| link.try_send(up));
                    if !matches!(sent, Some(Ok(()))) {
                        self.conns.remove(&conn);
                        self.hand_in(Input::Disconnected(conn));
                    }
                    true
                }
                Effect::Close(conn) => {
                    self.conns.remove(&conn);
                    true
                }
                Effect::SaveMeta { meta, number } => self.log.give(LogJob::Save(number, meta)),
                Effect::Log { seq, records } => self.log.give(LogJob::Append(seq, records)),
                Effect::FreeLog { through } => self.log.give(LogJob::Free(through)),
                Effect::Apply { writes, through } => {
                    self.pulse.writes += writes.len() as u64;
                    self.keys.give(KeyJob::Apply(writes, through))
                }
                Effect::Read { token, key } => self.keys.give(KeyJob::Read(token, key)),
                Effect::Checkpoint { .. } => self.keys.give(KeyJob::Checkpoint),
                Effect::Ranges(ring) => {
                    self.ring = Some(Arc::clone(&ring));
                    self.keys.give(KeyJob::Ranges(ring))
                }
                Effect::CaughtUp => {
                    tracing::info!("caught up");
                    self.announcer.up();
                    true
                }
                Effect::Exit(reason) => {
                    self.end = Some(exit(reason));
                    true
                }
            };
            if !given && self.end.is_none() {
                let reason = "the disk is so far behind that nothing more can be taken; check it";
                self.end = Some(End::Fatal(reason.to_owned()));
            }
        }
    }

    async fn beat(&mut self) {
        self.keys.give(KeyJob::Count);
        self.pulse.beat(&self.core, self.ring.as_deref()).await;
    }

    /// Drains, syncs, checkpoints, ends.
    async fn stop(mut self, mut done: mpsc::Receiver<Done>) -> End {
        tracing::info!("node stops");
        self.conns.clear();
        self.hand_in(Input::Stop);
        if let Some(end) = self.end.take() {
            return end;
        }
        let told = self.log.give(LogJob::Stop) && self.keys.give(KeyJob::Stop);
        let mut running = 2;
        while told && running > 0 {
            match done.recv().await {
                Some(Done::Stopped) => running -= 1,
                Some(Done::Failed(reason)) => return End::Fatal(reason),
                Some(_) => {}
                None => break,
            }
        }
        self.log.join();
        self.keys.join();
        End::Stopped
    }
}

fn exit(reason: ExitReason) -> End {
    match reason {
        ExitReason::Lost(what) => End::Fatal(what),
        ExitReason::Broken(what) => {
            // A restart recovers from the log; the same again is for a developer to look at.
            tracing::error!("a rule of the commit protocol is broken: {what}");
            eprintln!("piazza node: a rule of the commit protocol is broken: {what}");
            End::Fatal(format!("a rule of the commit protocol is broken: {what}"))
        }
    }
}
