//! A limit on the memory of a process and all that it starts: a control group of the kernel, version 2 or 1.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::process::pinned;

/// A control group of our own, gone with the value.
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group that may hold so many bytes; `None` where this process may not make one.
    pub(crate) fn limited(bytes: u64) -> Option<Self> {
        let name = format!("tollway-bench-{}", std::process::id());
        // Version 2 has one tree, version 1 one for each resource.
        let kinds = [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ];
        kinds.into_iter().find_map(|(root, limit)| {
            let folder = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() {
                return None;
            }
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            fs::write(group.0.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// As [`pinned`], in the group.
    pub(crate) fn command(&self, program: &Path, cores: Option<&str>) -> Command {
        let mut command = pinned("sh", cores);
        // The shell joins the group and becomes the program.
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.0.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A group is removed when its last process is gone; the processes are dropped before it.
        let _ = fs::remove_dir(&self.0);
    }
}
