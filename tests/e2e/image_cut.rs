//! Power is cut under load, on real file systems: every acknowledged write is there afterwards.
//!
//! Each node's directory lies on an ext4 of its own in an image file, attached as a loop device
//! with direct I/O. So three layers are apart: what a node has written and not synced is in the
//! page cache of that ext4 only; what ext4 has sent down is in the image file, past the page cache
//! of the file system below; nothing is between. Everything is killed, and the image *files* are
//! copied as they are, without unmounting. The device's own counters show that nothing was written
//! meanwhile, so each copy is the image at one moment after the kill. The cluster then lives on the
//! copies.
//!
//! A copy must contain all that a completed `fdatasync` covers, and may miss all else; that it does
//! miss it is shown by a file that is written just before the kill and never synced. What this does
//! not show: a drive that loses its own write cache (what reached the image counts as kept even
//! before a flush), and a cut in the midst of a sync, which a killed process still completes. The
//! disk model of the simulation does both.
//!
//! By hand, as root: `PIAZZA_IMAGE_CUTS=20 cargo test image_cut -- --ignored --nocapture`. It runs
//! in a mount namespace of its own, and devices are released with their mounts: so no mount and no
//! device stays, however it ends.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;

use super::cluster::Cluster;
use super::procs::{TempDir, dying_with_us, wait_for};
use super::workload::{self, Plan, Record, Recorder};
use crate::check::seeded::{Seeded, from_env, number_from_env};
use crate::check::{durable, linear};

/// Set in the process that has the namespace.
const INSIDE: &str = "PIAZZA_IMAGE_CUT_INSIDE";
const IMAGE_BYTES: u64 = 512 << 20;
/// Successful operations before each cut, at least.
const OK_MIN: u64 = 300;
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Copies of an image that are given up, because it was written to meanwhile.
const COPIES_MAX: u32 = 20;
const UNSYNCED: &str = "unsynced";
const UNSYNCED_BYTES: usize = 64 << 10;

#[test]
#[ignore = "needs root, loop devices and mounts"]
fn image_cut() {
    if std::env::var_os(INSIDE).is_some() {
        return cuts();
    }
    if let Some(reason) = missing() {
        // Not `eprintln!`: of a test that passes, that is not shown.
        let _ = writeln!(std::io::stderr(), "SKIPPED image_cut: {reason}");
        return;
    }
    let mut inside = dying_with_us("unshare");
    inside.args(["--mount", "--propagation", "private", "--"]);
    inside.arg(std::env::current_exe().expect("this program has a path")).env(INSIDE, "1");
    inside.args(["e2e::image_cut::image_cut", "--exact", "--ignored", "--nocapture"]);
    let status = inside.status().unwrap_or_else(|error| panic!("{inside:?}: {error}"));
    assert!(status.success(), "the cuts failed: {status}; see above");
}

/// What this machine lacks.
fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("it mounts file systems: run it as root".into());
    }
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let needed: [(&str, &[&str]); 4] = [
        ("unshare", &["--mount", "--propagation", "private", "--", "true"]),
        ("losetup", &["--find"]),
        ("mkfs.ext4", &["-V"]),
        ("mount", &["--version"]),
    ];
    let lacking = needed.iter().find(|(program, arguments)| !works(program, arguments));
    lacking.map(|(program, arguments)| {
        format!("`{program} {}` does not work here", arguments.join(" "))
    })
}

fn cuts() {
    let (seed, repeat) = from_env("PIAZZA_IMAGE_CUT_SEED");
    let cuts = number_from_env("PIAZZA_IMAGE_CUTS", 3);
    println!("image_cut: {cuts} cuts, {repeat}");
    // The images before the cluster: what is declared last goes first.
    let files = TempDir::new("images");
    let mut images: Vec<Image> = Vec::new();
    let mut cluster = Cluster::start("image-cut", 3, 2, &[]);
    cluster.wait_healthy(None);
    let nodes = cluster.node_names();
    cluster.kill_everything();
    images.extend(nodes.iter().map(|name| Image::of(files.path(), name, &cluster.data())));
    cluster.start_again();
    cluster.wait_healthy(None);

    let recorder = Recorder::new();
    let mut all = Record::default();
    for cut in 1..=cuts {
        let seed = seed + cut - 1;
        let mut random = Seeded::new(seed);
        let before = recorder.ok_count();
        let plan = Plan { seed: random.bits(), clients: 16, ..Plan::default() };
        let running = workload::start(cluster.addr(), &recorder, &plan);
        wait_for("the workload under way", WAIT_MAX, || {
            (recorder.ok_count() - before > OK_MIN).then_some(())
        });
        // Not a wait for anything: this is the draw of the moment.
        thread::sleep(Duration::from_micros(random.below(1_000_000)));
        images.iter().for_each(Image::write_unsynced);
        cluster.kill_everything();
        let copied: u32 = images.iter_mut().map(Image::cut).sum();
        all.append(running.stop());
        let acknowledged = recorder.ok_count() - before;
        cluster.start_again();
        cluster.wait_healthy(None);

        let finals = workload::read_all(cluster.addr(), &recorder, &mut all.history);
        let lost = durable::check(&all.history, &finals);
        let first = lost.first().map(ToString::to_string).unwrap_or_default();
        assert!(lost.is_empty(), "cut {cut}, {repeat}: {} keys wrong; {first}", lost.len());
        if let Err(violation) = linear::check(&all.history) {
            panic!("cut {cut}, {repeat}: {violation}");
        }
        println!(
            "cut {cut}, seed {seed}: {acknowledged} operations acknowledged before it, {copied} \
             copies of {} images, no unsynced file survived, {} keys right; so far {all}",
            images.len(),
            finals.len()
        );
    }
    drop(cluster);
}

/// A node's directory on a file system of its own.
struct Image {
    file: PathBuf,
    mount: PathBuf,
    /// As in `/sys/block`.
    device: String,
}

impl Image {
    /// Moves the directory of the node `name` in `data` onto a new image; the node must not run.
    fn of(files: &Path, name: &str, data: &Path) -> Self {
        let file = files.join(format!("{name}.image"));
        let mount = files.join(name);
        fs::create_dir(&mount).expect("a new directory");
        fs::File::create(&file).and_then(|image| image.set_len(IMAGE_BYTES)).expect("an image");
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), file.as_ref()]);
        let device = attach(&file, &mount);
        let (from, to) = (data.join(name), mount.join("node"));
        run("cp", &["-a".as_ref(), from.as_ref(), to.as_ref()]);
        // What the node has synced elsewhere must be durable here as well.
        run("sync", &["-f".as_ref(), mount.as_ref()]);
        fs::remove_dir_all(&from).expect("the node's first directory");
        std::os::unix::fs::symlink(&to, &from).expect("a link to the image");
        Self { file, mount, device }
    }

    /// Leaves a file that a cut must not keep.
    fn write_unsynced(&self) {
        fs::write(self.mount.join(UNSYNCED), vec![0xa5; UNSYNCED_BYTES]).expect("room on it");
    }

    /// Goes on with a copy of the image as it is now, without what only the file system has. Says
    /// how many copies it took.
    fn cut(&mut self) -> u32 {
        let copy = self.file.with_extension("copy");
        let mut copies = 1;
        while !self.copy_at_one_moment(&copy) {
            copies += 1;
            assert!(copies <= COPIES_MAX, "{} is written to all the time", self.device);
        }
        run("umount", &[self.mount.as_ref()]);
        fs::rename(&copy, &self.file).expect("the same directory");
        self.device = attach(&self.file, &self.mount);
        let unsynced = self.mount.join(UNSYNCED);
        let kept = fs::read(&unsynced).unwrap_or_default();
        assert!(
            kept.len() < UNSYNCED_BYTES,
            "an unsynced file of {UNSYNCED_BYTES} bytes survived the cut of {}: such a cut shows \
             nothing",
            self.device
        );
        let _ = fs::remove_file(unsynced);
        copies
    }

    /// Copies the image past the page cache; `false` if it was written to meanwhile.
    fn copy_at_one_moment(&self, copy: &Path) -> bool {
        let before = self.writes();
        let (from, to) = (format!("if={}", self.file.display()), format!("of={}", copy.display()));
        let how = ["bs=1M", "iflag=direct", "conv=sparse", "status=none"];
        run("dd", &[&[from.as_ref(), to.as_ref()], &how.map(AsRef::as_ref)[..]].concat());
        before.is_some() && self.writes() == before
    }

    /// Writes and sectors that the device has completed; `None` while any request is under way.
    fn writes(&self) -> Option<(u64, u64)> {
        let path = format!("/sys/block/{}/stat", self.device);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let numbers: Vec<u64> =
            text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        (numbers[8] == 0).then_some((numbers[4], numbers[6]))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

/// Mounts `file` through a loop device that goes when it is unmounted; gives the device's name.
fn attach(file: &Path, mount: &Path) -> String {
    let losetup = ["--direct-io=on".as_ref(), "--find".as_ref(), "--show".as_ref(), file.as_ref()];
    let device = run("losetup", &losetup);
    let name = device.rsplit('/').next().expect("a path").to_string();
    // The longest time between commits of the journal: what was not asked for stays away long.
    let options = ["-o", "commit=300", "-t", "ext4", &device];
    let mounted = Command::new("mount").args(options).arg(mount).output();
    // While it is mounted, this only marks it for release.
    run("losetup", &["--detach".as_ref(), device.as_ref()]);
    let mounted = mounted.unwrap_or_else(|error| panic!("mount: {error}"));
    assert!(mounted.status.success(), "mount of {device}: {mounted:?}");
    let dio = fs::read_to_string(format!("/sys/block/{name}/loop/dio")).unwrap_or_default();
    assert_eq!(dio.trim(), "1", "{name} writes through a page cache: the cut would show nothing");
    name
}

/// The output of a program that must succeed.
fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}
