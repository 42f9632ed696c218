//! Processes that are measured: pinned, watched through `/proc`, and gone when their value is.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

/// The kernel counts CPU time for user space in hundredths of a second (`USER_HZ`), on every architecture of today.
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a process may take to end after SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a process may take until it serves.
const START_MAX: Duration = Duration::from_secs(60);

/// CPU time, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// In the program's own code.
    pub(crate) user_us: f64,
    /// In the kernel on its behalf.
    pub(crate) system_us: f64,
}

impl Cpu {
    /// User and system together.
    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

/// A command that runs on these cores (as `taskset -c` takes them; `None` = all) and ends when this process dies.
pub(crate) fn pinned(program: impl AsRef<OsStr>, cores: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Some(cores) = cores {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running server.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts a server whose output goes to a file.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pid = child
            .id()
            .context("a process that was just started has an id")?;
        Ok(Self {
            name,
            child,
            pid,
            log: log.to_owned(),
        })
    }

    /// Waits until `ready` says so, looking every millisecond.
    pub(crate) async fn until(&mut self, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !ready().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}):\n{}", self.name, self.said());
            }
            if begin.elapsed() > START_MAX {
                bail!(
                    "{} does not serve after {START_MAX:?}:\n{}",
                    self.name,
                    self.said()
                );
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// CPU time of the process and its descendants so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let mut family = vec![self.pid];
        let all: Vec<_> = stats()?;
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            family.extend(
                all.iter()
                    .filter(|stat| stat.parent == parent)
                    .map(|stat| stat.pid),
            );
            next += 1;
        }
        let mut cpu = Cpu::default();
        for stat in all.iter().filter(|stat| family.contains(&stat.pid)) {
            cpu.user_us += stat.user_ticks / TICKS_PER_SECOND * 1e6;
            cpu.system_us += stat.system_ticks / TICKS_PER_SECOND * 1e6;
        }
        Ok(cpu)
    }

    /// Resident memory of the process itself, in megabytes (10⁶ bytes).
    pub(crate) fn resident_mb(&self) -> anyhow::Result<f64> {
        self.status_mb("VmRSS:")
    }

    /// The most resident memory that there was since the start, or since [`Process::forget_peak`].
    pub(crate) fn peak_mb(&self) -> anyhow::Result<f64> {
        self.status_mb("VmHWM:")
    }

    /// Begins to look for the peak anew (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.pid);
        std::fs::write(&path, "5").with_context(|| format!("writing {path}"))
    }

    fn status_mb(&self, key: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let line = line.with_context(|| format!("no {key}"))?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // The library has no safe way to send SIGTERM; a server that is killed outright would leave its workers behind.
        let _ = std::process::Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.pid)])
            .status();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.start_kill();
    }
}

/// What `/proc/PID/stat` says of a process (proc(5)).
struct Stat {
    pid: u32,
    parent: u32,
    user_ticks: f64,
    system_ticks: f64,
}

fn stats() -> anyhow::Result<Vec<Stat>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while the list is read.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        all.extend(stat(pid, &text));
    }
    Ok(all)
}

fn stat(pid: u32, text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, so fields are counted from behind it: the state is the first.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let parent = fields.get(1)?.parse().ok()?;
    Some(Stat {
        pid,
        parent,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
    })
}

/// Writes a template with its marks filled in.
pub(crate) fn filled(template: &Path, to: &Path, fill: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(template)
        .with_context(|| format!("reading {}", template.display()))?;
    let text = fill
        .iter()
        .fold(text, |text, (mark, value)| text.replace(mark, value));
    std::fs::write(to, text).with_context(|| format!("writing {}", to.display()))?;
    Ok(to.to_owned())
}

/// An address on loopback that nobody listens at.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let text = "7 (a) b) (c) S 3 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 1 0 100";
        let stat = stat(7, text).unwrap();
        assert_eq!((stat.pid, stat.parent), (7, 3));
        assert!((stat.user_ticks - 12.0).abs() < 1e-9);
        assert!((stat.system_ticks - 30.0).abs() < 1e-9);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_process_and_its_children_are_measured_and_end_with_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = pinned("sh", Some("0"));
        command.args([
            "-c",
            "trap 'kill $!; exit' TERM; (while :; do :; done) & wait",
        ]);
        let process = Process::start("sh", &mut command, &folder.path().join("log")).unwrap();
        let begin = Instant::now();
        while process.cpu().unwrap().total_us() < 50_000.0 {
            assert!(begin.elapsed() < START_MAX, "the child's time is not seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(process.resident_mb().unwrap() > 0.1);
        let pid = process.pid;
        drop(process);
        assert!(
            stats()
                .unwrap()
                .iter()
                .all(|stat| stat.pid != pid && stat.parent != pid)
        );
    }
}
