//! A storage node's process: its directory, its two lanes, its links, and the loop that minds the
//! time.
//!
//! At start it recovers first: state file, log, keystore, replay. Only then it listens, and only
//! then it registers (R9, H34). It serves nobody until the coordinator has told it what it missed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use protocol::ids::{Epoch, GroupSeq};
use protocol::peer::{Greeting, Register};
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::alarm::Alarm;
use super::directory::{self, Directory, Refusal};
use super::engine::{End, Engine, Parts};
use super::faults::{Faults, FaultyDisk};
use super::lanes::{self, LogGauge, LogLane};
use super::node_link;
use super::pulse::Pulse;
use super::{clock, listener, proof};
use crate::config::{NODE_CACHE_BYTES, NodeConfig, StorageKind};
use crate::core::cache::{Cache, CacheShape};
use crate::core::node::{CHECKPOINT_BYTES, Effect, Input, NodeCore, Restart};
use crate::process::{self, Announcer, Orders};
use crate::storage::failpoint;
use crate::storage::keystore::Keystore;
use crate::storage::keystore::fjall::FjallKeystore;
use crate::storage::keystore::memory::MemoryKeystore;
use crate::storage::log::{Log, LogConfig, Tail};

/// A thread has ended with the core in its hands.
const PANICKED: &str = "a bug ended one of the node's threads; its log file says more";
/// Decided writes are replayed in portions of so many.
const REPLAY_PORTION: usize = 4_096;
/// Where a test is to come by all failpoints soon, instead of what is usual: bytes of a segment,
/// bytes between two checkpoints, room that prepares leave.
const SMALL_SEGMENT_BYTES: u64 = 64 << 10;
const SMALL_CHECKPOINT_BYTES: u64 = 256 << 10;
const SMALL_RESERVE_BYTES: u64 = 16 << 10;
/// The keystore's cache of blocks, bytes.
const KEYSTORE_CACHE_BYTES: u64 = 64 << 20;

/// Runs a node until it is stopped. What `orders` say of faults is done with [`NodeConfig::lab`]
/// only.
pub fn run_node(config: NodeConfig, orders: Option<Orders>) -> ExitCode {
    let announcer = match Announcer::start() {
        Ok(announcer) => announcer,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    // As a task, not as the root future: waking a task costs no system call.
    let orders = orders.filter(|_| config.lab);
    let node = run(config, announcer.clone(), orders);
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

async fn run(
    config: NodeConfig,
    announcer: Announcer,
    orders: Option<Orders>,
) -> Result<End, Refusal> {
    process::bear_file_size_limit()?;
    let durable = config.storage == StorageKind::Disk;
    let mut directory = directory::open(&config.dir, &config.name, durable)?;
    let faults = orders.map(|orders| Faults::start(orders, announcer.clone())).transpose()?;
    if let Some(faults) = &faults {
        let (disk, faults) = (directory.disk, Arc::clone(faults));
        directory.disk = Arc::new(FaultyDisk { disk, faults });
    }
    // Until this process has done its last write there (H47).
    let _lock = directory.lock.take();
    let shape = CacheShape { sets: config.cache.sets(), ways: config.cache.ways() as u16 };
    let seed = process::random_uuid()?.0 as u64;
    let cache = Arc::new(Cache::new(shape, NODE_CACHE_BYTES, seed));
    let started = start(directory, Arc::clone(&cache));
    let Started { core, effects, log, keystore, state } = match started {
        Ok(started) => started,
        Err(error) => return Ok(End::Fatal(error.to_string())),
    };
    let gauge = Arc::new(LogGauge::default());
    gauge.bytes.store(log.bytes(), Ordering::Relaxed);
    let room = log.room();
    let udp = listener::heartbeat_socket(config.join).await?;
    // The coordinator may be on another machine: this one's address on the way there is its own.
    let sockets = listener::bind(SocketAddr::new(udp.local_addr()?.ip(), 0))?;
    let addr = sockets.local_addr()?;
    let incarnation = core.meta().incarnation.0;
    let (register, registered) = watch::channel(registration(&core, &config, addr, durable));
    let log = LogLane::new(log, state, Arc::clone(&gauge), faults.clone());
    let (key_jobs, key_queue) = lanes::key_queue();
    let engine = Arc::new(Engine::new(Parts {
        core,
        log: Arc::clone(&log),
        keys: key_jobs,
        register,
        announcer: announcer.clone(),
        pulse: Pulse::new(gauge, config.heartbeat),
        faults: faults.clone(),
    }));
    engine.lock().ok_or(PANICKED)?.hand_in(clock::now(), Input::Room(room));
    let lanes = [
        log.start(Arc::downgrade(&engine))?,
        lanes::start_keys(key_queue, keystore, cache, Arc::downgrade(&engine))?,
    ];
    engine.lock().ok_or(PANICKED)?.perform(clock::now(), effects);
    let secret = config.peer.clone();
    node_link::start(sockets, Arc::clone(&engine), secret.clone())?;
    let engine_of = Arc::clone(&engine);
    tokio::spawn(node_link::stay_registered(config.join, registered, engine_of, secret));
    tokio::spawn(stop_on_signal(Arc::clone(&engine)));
    tracing::info!(%addr, incarnation, "node listens");
    announcer.node_listening(addr);
    match serve(&engine, &udp, &config, faults.as_deref()).await? {
        End::Fatal(reason) => Ok(End::Fatal(reason)),
        End::Stopped => stop(&engine, lanes),
    }
}

/// Hands in what time brings, until the node is to end.
async fn serve(
    engine: &Engine,
    udp: &UdpSocket,
    config: &NodeConfig,
    faults: Option<&Faults>,
) -> Result<End, Refusal> {
    let mut alarm = Alarm::new();
    let mut beat = tokio::time::interval(config.heartbeat);
    let mut deadline = None;
    loop {
        let mut beats = false;
        tokio::select! {
            _ = beat.tick() => beats = true,
            () = engine.news.notified() => {}
            () = alarm.wait(deadline) => {}
        }
        let heartbeat = {
            let mut state = engine.lock().ok_or(PANICKED)?;
            let now = clock::now();
            if state.core.next_deadline().is_some_and(|at| at <= now) {
                state.hand_in(now, Input::Tick);
                state.hand_in(now, Input::Flush);
            }
            deadline = state.next_deadline();
            if let Some(end) = state.take_end() {
                return Ok(end);
            }
            beats.then(|| state.heartbeat())
        };
        if let Some(Ok(datagram)) = heartbeat.map(|beat| serde_json::to_vec(&beat))
            && !faults.is_some_and(Faults::drops_heartbeat)
        {
            // An error concerns this one only.
            let _ = udp.send(&proof::seal(config.peer.as_ref(), datagram)).await;
        }
    }
}

/// Drains, syncs, checkpoints, ends.
fn stop(engine: &Engine, lanes: [JoinHandle<()>; 2]) -> Result<End, Refusal> {
    tracing::info!("node stops");
    let told = engine.lock().ok_or(PANICKED)?.stop();
    if told {
        for lane in lanes {
            lane.join().map_err(|_| PANICKED)?;
        }
    }
    let failed = engine.lock().ok_or(PANICKED)?.take_end();
    Ok(failed.unwrap_or(End::Stopped))
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
fn start(directory: Directory, cache: Arc<Cache>) -> Result<Started, Refusal> {
    let Directory { disk, identity, mut state, mut meta, keystore, .. } = directory;
    let mut keystore: Box<dyn Keystore> = match keystore {
        Some(path) => Box::new(FjallKeystore::open(&path, identity, KEYSTORE_CACHE_BYTES)?),
        None => Box::new(MemoryKeystore::new()),
    };
    let through = keystore.checkpointed();
    let mut log = LogConfig::new(identity);
    let small = failpoint::are_wanted();
    let checkpoint_bytes = if small { SMALL_CHECKPOINT_BYTES } else { CHECKPOINT_BYTES };
    let mut restart = Restart::new(meta.clone(), through, checkpoint_bytes, cache);
    if small {
        log.segment_bytes = SMALL_SEGMENT_BYTES;
        restart.reserve(SMALL_RESERVE_BYTES);
    }
    let mut decided = Vec::new();
    let mut replayed = GroupSeq(0);
    let mut failed = None;
    let opened = Log::open(disk, log, &mut |seq, record| {
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
        greeting: Greeting::new(meta.ring.as_ref().map(|ring| ring.cluster)),
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

async fn stop_on_signal(engine: Arc<Engine>) {
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
    engine.turn(|state, _| state.end(End::Stopped));
}
