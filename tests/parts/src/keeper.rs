//! Makes sure that a server and its folder go, also when the test process is killed.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, which is the end of the process that holds the other end. Then the process whose
/// id is the first line of the file `$2` gets SIGQUIT, if its working directory is `$3` (the id may be somebody else's
/// by now), and the folder `$1` goes.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$2" 2>/dev/null)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$3" ]; then
    kill -QUIT "$pid"
    for _ in $(seq 1200); do
        [ "$(readlink "/proc/$pid/cwd")" = "$3" ] || break
        sleep 0.05
    done
fi
rm -rf "$1"
"#;

/// A small process beside ours that cleans up when we are gone, or when this value is dropped.
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Keeps `folder` and the server that runs in `works_in` and writes its process id to `pid_file`.
    pub(crate) fn start(folder: &Path, pid_file: &Path, works_in: &Path) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .args([folder, pid_file, works_in])
            // Ctrl-C and timeouts strike whole process groups.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself; nobody could mend a failure to wait for it.
        let _ = self.0.wait();
    }
}
