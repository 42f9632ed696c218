//! A server that runs in a throw-away folder, on ports that somebody else may take meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;

/// How often it is started anew because somebody else took one of its ports.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that is ours: it and its folder go with this, or with the process.
pub(crate) struct Launched {
    folder: PathBuf,
    server: Child,
    _keeper: Keeper,
}

/// The first start that comes to something.
pub(crate) fn until_one_stands<T>(name: &str, mut start: impl FnMut() -> Option<T>) -> T {
    let mut starts = (0..STARTS).filter_map(|_| start());
    starts
        .next()
        .unwrap_or_else(|| panic!("{name} did not start"))
}

impl Launched {
    /// Starts what `command` makes for the folder, which is its working directory, with its output in a log there.
    pub(crate) fn start(name: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("tollway-{name}-"))
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let pid_file = folder.join("pid");
        let keeper = Keeper::start(&folder, &pid_file, &folder).expect("a shell can be started");
        let log = File::create(folder.join("log")).expect("the folder can be written");
        let server = command(&folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program can be started");
        std::fs::write(&pid_file, server.id().to_string()).expect("the folder can be written");
        Self {
            folder,
            server,
            _keeper: keeper,
        }
    }

    /// Whether it answers in the end; not when it ended instead.
    ///
    /// # Panics
    /// With its log, when it lives and does not answer.
    pub(crate) fn stands(&mut self, answers: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Before it is asked: another server may answer at a port that this one did not get.
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if answers() {
                return true;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "no answer from {}:\n{log}",
                self.folder.display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // What it holds is thrown away.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
