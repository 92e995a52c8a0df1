//! Tests on real processes, over real sockets and disks.
//!
//! The tools, each used by those below it:
//! * `procs`: processes and directories that do not outlive their test;
//! * `wire`: a raw client, independent of the project's own;
//! * `cluster`: a `piazza up` of one's own, and how to kill its parts;
//! * `workload`: clients that write down what they are told;
//! * `copies`: the nodes' stores, compared when a cluster has stopped;
//! * `toy`: tests of these tools against a server that is wrong on purpose.
//!
//! The tests:
//! * `conversation`: what a user meets who talks to the port by hand;
//! * `node_cache`: what is read again is answered by a node's cache, and `status` shows it;
//! * `commands`: the same at the command line: exit codes, JSON, sentences;
//! * `contract`: flags, processes, commands and terminals, as `protocol/PROTOCOL.md` has them;
//! * `bench`: the load generator, as a library and as a command, while nodes are there and are not;
//! * `console`: the console on a real terminal, while servers of a real cluster are killed;
//! * `console_members`: the same, while nodes lose their places, come back, join and leave;
//! * `demos`: each demo is played, and all it says is so; one that is not so fails;
//! * `shell`: a person at a terminal, and a script in a pipe; `terminal` is that terminal;
//! * `events`: what those who subscribe are told while a node dies and comes back;
//! * `admin`: processes at the supervisor, membership at the coordinator, and `locate`;
//! * `explain`: the way of requests, as a picture;
//! * `supervised`: how commands find the supervisor, and what is said where there is none;
//! * `inject`: faults on order, what is met of them and what is told;
//! * `tokens`: who is let in by which token, and that without one no port is open to others;
//! * `several_machines`: servers one at a time, each from a file of its own;
//! * `placement`: keys placed by the sum of their bytes;
//! * `serial`: one update at a time, so that a silent node holds up all of them;
//! * `detach`: `up` in the background, and afresh; what needs no cluster;
//! * `inspect`: a stopped node's files are shown, a running one's refused, damage is told;
//! * `readme`: what the README shows at a terminal is typed in, and prints what it shows;
//! * `words`: a whole dictionary goes in, and comes out again after everything was killed;
//! * `shopping`: shoppers lose nothing and buy nothing twice while nodes are killed, and what
//!   somebody else has written is found;
//! * `replica_down`: while one node is down, its keys are refused quickly, the others go on;
//! * `disk_full`: a node without space refuses updates until there is some (as root);
//! * `paused`: a node has no space for what it is to hold (as root);
//! * `membership`: nodes lose their places, come back, join and leave, and no key is ever wrong;
//! * `scrub`: records that change on a disk are found, told, and mended by order;
//! * `rolling`: all servers are restarted one after the other under load;
//! * `kill_loop`: servers are killed one after the other under load;
//! * `kill_all`: everything is killed at once under load, again and again;
//! * `change_loop`: in the midst of each change of the membership a server is killed, under load;
//! * `mixed`: all kinds of operations, by the project's own client, while servers are killed and
//!   paused and connections cut; what must hold of each kind is checked;
//! * `image_cut`: the same, and whatever was not synced is lost (only on demand, as root);
//! * `limits`: the system allows a server no longer files, or no more descriptors;
//! * `exhaustion`: clients that take all they can get;
//! * `failpoints`: nodes end between any two steps of making something durable (where the
//!   servers have debug assertions).

pub(crate) mod cluster;
pub(crate) mod procs;
mod toy;
pub(crate) mod wire;
pub(crate) mod workload;

mod admin;
mod bench;
mod change_loop;
mod commands;
mod console;
mod console_members;
mod contract;
mod conversation;
mod copies;
mod demos;
mod detach;
mod disk_full;
mod events;
mod exhaustion;
mod explain;
#[cfg(debug_assertions)]
mod failpoints;
mod image_cut;
mod inject;
mod inspect;
mod kill_all;
mod kill_loop;
mod limits;
mod membership;
mod mixed;
mod node_cache;
mod paused;
mod placement;
mod ran;
mod readme;
mod replica_down;
mod rolling;
pub(crate) mod scrub;
mod serial;
mod several_machines;
mod shell;
mod shopping;
mod supervised;
mod terminal;
mod tokens;
mod words;
