//! The supervisor's process: claims the directory, then turns what happens into the fleet's
//! inputs and the fleet's effects into deeds, one at a time, on the main thread.
//!
//! Called by `tui/cli/up.rs`. Holds no rules: those are in `fleet`. If this process ends in any
//! way, its servers end too (see `process`).

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::event::Subscribe;
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::asked::Action;
use super::audience::{Audience, SUBSCRIBERS_MAX};
use super::child::Running;
use super::command::ChildCommands;
use super::directory::{Addresses, ClusterFile, Directory, pids_as_map};
use super::fleet::{COORDINATOR, Effect, Fleet, Input, ProcId, Reply};
use super::lines::LINE_BYTES_MAX;
use super::options::UpOptions;
use super::request::NESTING_MAX;
use super::{StartError, connection, endpoint, fresh, note};
use crate::core::coordinator::ClientId;
use crate::orders::Order;
use crate::shell::subscribers::Subscriber;
use crate::tokens::{TokenFiles, Tokens};
use crate::{process, telemetry};

/// News that may wait for the supervisor; whoever has more waits.
const NEWS_MAX: usize = 256;

/// What the tasks tell the supervisor.
pub(super) enum News {
    /// Something for the fleet as it is.
    Fleet(Input),
    /// A request, who makes it, and where its reply goes.
    Asked { action: Action, by: String, reply: oneshot::Sender<Reply> },
    /// The op `hello`.
    Hello(oneshot::Sender<Reply>),
    /// The op `subscribe`, and where the events go.
    Subscribe {
        client: ClientId,
        wants: Subscribe,
        subscriber: Arc<Subscriber>,
        reply: oneshot::Sender<Reply>,
    },
    /// A connection has ended.
    Gone(u64),
}

/// Runs a cluster until somebody stops it. Call it on the main thread: the servers live no longer
/// than the thread that started them.
pub fn run(options: UpOptions) -> ExitCode {
    let finished = prepare(options).and_then(|prepared| {
        let log = telemetry::init(Some(&prepared.directory.logs()), "supervisor")
            .map_err(|error| StartError::System(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::System(format!("cannot start: {error}")))?;
        let finished = runtime.block_on(supervise(prepared));
        drop(log);
        finished
    });
    match finished {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(5),
        Err(error) => {
            note(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Everything that was found in order before the first server starts.
struct Prepared {
    options: UpOptions,
    directory: Directory,
    file: ClusterFile,
    listener: TcpListener,
    control: SocketAddr,
    tokens: Tokens,
    /// By paths that hold wherever the servers run.
    token_files: TokenFiles,
}

fn prepare(mut options: UpOptions) -> Result<Prepared, StartError> {
    let system = |error: io::Error| StartError::System(format!("cannot start: {error}"));
    let tokens = options.tokens()?;
    let token_files = options.token_files.absolute().map_err(system)?;
    if options.fresh {
        // Whatever else is wrong is found out before anything is deleted.
        options.shape(None)?;
        drop(options.bind()?);
        fresh::delete(&options.dir)?;
    }
    let directory = Directory::claim(&options.dir)?;
    let shape = options.shape(directory.existing())?;
    let listener = options.bind()?;
    let control = listener.local_addr().map_err(system)?;
    let mut file =
        directory.existing().cloned().unwrap_or(ClusterFile::new(directory.name(), shape));
    file.written_by = env!("CARGO_PKG_VERSION").into();
    file.evict_after = options.evict_after.unwrap_or(file.evict_after);
    file.scrub_period = options.scrub_period.unwrap_or(file.scrub_period);
    Ok(Prepared { options, directory, file, listener, control, tokens, token_files })
}

async fn supervise(prepared: Prepared) -> Result<bool, StartError> {
    let system = |error: io::Error| StartError::System(format!("cannot start: {error}"));
    let Prepared { options, directory, file, listener, control, tokens, token_files } = prepared;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(system)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(system)?;
    listener.set_nonblocking(true).map_err(system)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(system)?;
    let (sender, news) = mpsc::channel(NEWS_MAX);
    let endpoint = endpoint::Endpoint {
        news: sender.clone(),
        logs: directory.logs().into(),
        tokens: Arc::new(tokens),
    };
    tokio::spawn(endpoint.serve(listener));

    let lab = options.servers.lab;
    let commands = ChildCommands {
        program: options.program,
        shape: file.shape,
        servers: options.servers,
        evict_after: file.evict_after,
        scrub_period: file.scrub_period,
        token_files,
        dir: directory.path().to_owned(),
        logs: directory.logs(),
        supervisor: control,
    };
    let found =
        directory.node_names().map_err(|error| StartError::file(directory.path(), error))?;
    let mut supervisor = Supervisor {
        fleet: Fleet::new(file.fleet.clone(), found, file.cluster, lab),
        audience: Audience::default(),
        listen: (options.listen.to_string(), options.peer_listen.to_string()),
        commands,
        directory,
        file,
        running: HashMap::new(),
        replies: HashMap::new(),
        next_token: 0,
        news: sender,
        began: Instant::now(),
    };
    supervisor.save().map_err(|error| StartError::file(supervisor.directory.path(), error))?;
    let (nodes, dir) = (supervisor.file.fleet.nodes.len(), supervisor.directory.path().display());
    note(&format!("starting a coordinator and {nodes} nodes in {dir}"));
    Ok(supervisor.main_loop(news, &mut interrupts, &mut terminations).await)
}

/// The world around the fleet.
struct Supervisor {
    fleet: Fleet,
    audience: Audience,
    /// Where the first coordinator listens; later ones where it did.
    listen: (String, String),
    commands: ChildCommands,
    directory: Directory,
    file: ClusterFile,
    running: HashMap<ProcId, Running>,
    replies: HashMap<u64, oneshot::Sender<Reply>>,
    next_token: u64,
    news: mpsc::Sender<News>,
    began: Instant,
}

impl Supervisor {
    /// True if all servers had ended at the end.
    async fn main_loop(
        &mut self,
        mut news: mpsc::Receiver<News>,
        interrupts: &mut Signal,
        terminations: &mut Signal,
    ) -> bool {
        let mut finished = self.handle(Input::Begin);
        while finished.is_none() {
            let deadline = self.fleet.deadline();
            let input = tokio::select! {
                Some(news) = news.recv() => self.input_of(news),
                _ = interrupts.recv() => Some(Input::Stop),
                // Service managers repeat it; only Ctrl-C twice means "at once".
                _ = terminations.recv() => self.fleet.stopping.is_none().then_some(Input::Stop),
                () = until(self.began, deadline) => Some(Input::Tick),
            };
            if let Some(input) = input {
                finished = self.handle(input);
            }
        }
        self.file.addresses = Addresses::default();
        self.file.pids = Vec::new();
        if let Err(error) = self.directory.write(&self.file) {
            note(&format!("cannot write cluster.json: {error}; its addresses are out of date"));
        }
        note("stopped");
        finished.unwrap_or(false)
    }

    fn input_of(&mut self, news: News) -> Option<Input> {
        match news {
            News::Fleet(input) => {
                if let Input::Exited { proc, .. } = input {
                    self.running.remove(&proc);
                }
                Some(input)
            }
            News::Asked { action, by, reply } => {
                let token = self.next_token;
                self.next_token += 1;
                self.replies.insert(token, reply);
                Some(Input::Asked { token, by, action })
            }
            News::Hello(reply) => {
                let _ = reply.send(Ok(self.hello()));
                None
            }
            News::Subscribe { client, wants, subscriber, reply } => {
                let _ = reply.send(self.audience.add(&self.fleet, client, wants, subscriber));
                None
            }
            News::Gone(conn) => {
                self.audience.remove(conn);
                None
            }
        }
    }

    /// Does all that follows from `input`; `Some` when the cluster has ended.
    fn handle(&mut self, input: Input) -> Option<bool> {
        let mut inputs = VecDeque::from([input]);
        let (mut save, mut ready, mut finished) = (false, false, None);
        while let Some(input) = inputs.pop_front() {
            for effect in self.fleet.handle(self.began.elapsed(), input) {
                match effect {
                    Effect::Spawn { proc, life } => inputs.push_back(self.spawn(proc, life)),
                    Effect::Signal { proc, sig } => {
                        tracing::info!(proc = self.fleet.name(proc), ?sig, "signal");
                        if let Some(running) = self.running.get(&proc) {
                            running.signal(sig);
                        }
                    }
                    Effect::Order { proc, order } => {
                        if let Some(running) = self.running.get(&proc) {
                            running.order(&order);
                        }
                    }
                    Effect::Event { number, cause, body, .. } => {
                        self.audience.tell(&self.fleet, number, cause, *body);
                    }
                    Effect::Reply { token, reply } => {
                        if let Some(waiting) = self.replies.remove(&token) {
                            let _ = waiting.send(reply);
                        }
                    }
                    Effect::Save => save = true,
                    Effect::Note(text) => {
                        tracing::info!("{text}");
                        note(&text);
                    }
                    Effect::Ready => ready = true,
                    Effect::Finished(all) => finished = Some(all),
                }
            }
        }
        // The file first: who reads `ready` may look into it.
        if save && let Err(error) = self.save() {
            note(&format!("cannot write cluster.json: {error}; `--dir` may not find this cluster"));
        }
        if ready {
            self.tell_ready();
        }
        finished
    }

    fn spawn(&mut self, proc: ProcId, life: u64) -> Input {
        match self.try_spawn(proc, life) {
            Ok(input) => input,
            Err(error) => {
                let program = self.commands.program.to_string_lossy();
                let error = format!("cannot start {program}: {error}");
                tracing::error!(proc = self.fleet.name(proc), "{error}");
                Input::SpawnFailed { proc, error }
            }
        }
    }

    fn try_spawn(&mut self, proc: ProcId, life: u64) -> io::Result<Input> {
        let instance = process::random_uuid()?;
        let (client, peer) = self.fleet.addresses().unwrap_or(&self.listen);
        let name = self.fleet.name(proc);
        let args = if proc == COORDINATOR {
            self.commands.coordinator(client, peer, instance, self.fleet.reaped())
        } else {
            self.commands.node(name, peer)
        };
        let (program, stderr) = (&self.commands.program, self.commands.stderr(name));
        let (running, pid) =
            Running::spawn(program, args, stderr, (proc, life), self.news.clone())?;
        tracing::info!(proc = name, pid, "started");
        if proc == COORDINATOR {
            running.order(&Order::Cluster { name: self.file.name.clone() });
        }
        self.running.insert(proc, running);
        Ok(Input::Spawned { proc, pid, instance })
    }

    fn save(&mut self) -> io::Result<()> {
        let addresses = self.fleet.addresses();
        self.file.cluster = self.fleet.cluster();
        self.file.fleet = self.fleet.roster();
        self.file.addresses = Addresses {
            clients: addresses.iter().map(|(client, _)| client.clone()).collect(),
            peers: addresses.iter().map(|(_, peer)| peer.clone()).collect(),
            supervisor: Some(self.commands.supervisor.to_string()),
        };
        self.file.pids = vec![("supervisor".into(), std::process::id())];
        self.file.pids.extend(self.fleet.pids());
        self.directory.write(&self.file)
    }

    fn hello(&self) -> serde_json::Value {
        json!({
            "server": concat!("piazza supervisor ", env!("CARGO_PKG_VERSION")),
            "protocol": 1,
            "cluster": self.fleet.cluster().map(|uuid| uuid.to_string()),
            "dir": self.directory.path().to_string_lossy(),
            "pid": std::process::id(),
            "clients": self.file.addresses.clients,
            "limits": limits(),
        })
    }

    /// The one line on stdout, for scripts. A closed stdout is no reason to stop serving.
    fn tell_ready(&self) {
        #[derive(Serialize)]
        struct Ready<'a> {
            dir: &'a str,
            clients: &'a [String],
            peers: &'a [String],
            supervisor: String,
            #[serde(serialize_with = "pids_as_map")]
            pids: &'a [(String, u32)],
        }
        let ready = Ready {
            dir: &self.directory.path().to_string_lossy(),
            clients: &self.file.addresses.clients,
            peers: &self.file.addresses.peers,
            supervisor: self.commands.supervisor.to_string(),
            pids: &self.fleet.pids(),
        };
        if let Ok(line) = serde_json::to_string(&ready) {
            let mut stdout = io::stdout().lock();
            let _ = writeln!(stdout, "ready {line}").and_then(|()| stdout.flush());
        }
        tracing::info!("all servers are ready");
    }
}

/// Those of the client protocol that there are here.
fn limits() -> serde_json::Value {
    let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    json!({
        "line_bytes": LINE_BYTES_MAX,
        "nesting": NESTING_MAX,
        "in_flight_requests": 1,
        "connections": endpoint::CONNECTIONS_MAX,
        "subscribers": SUBSCRIBERS_MAX,
        "idle_ms": ms(connection::IDLE),
        "line_ms": ms(connection::LINE_WAIT),
        "stalled_ms": ms(connection::WRITE_WAIT),
    })
}

/// Waits until `deadline` after `began`; for ever without one.
async fn until(began: Instant, deadline: Option<Duration>) {
    match deadline.and_then(|deadline| began.checked_add(deadline)) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
