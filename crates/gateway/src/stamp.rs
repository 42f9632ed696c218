//! Files that are read again when they have changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a file looked: taken before it is read, so that a change in between is seen by the next look.
#[derive(PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        let seen = std::fs::metadata(path).ok();
        Self {
            path: path.to_owned(),
            seen: seen.and_then(|found| Some((found.modified().ok()?, found.len()))),
        }
    }

    /// Whether the file looks different by now; it is known as it looks now from here on.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = Self::of(&self.path);
        let changed = now != *self;
        *self = now;
        changed
    }
}

/// Looks at all of them; whether one has changed.
pub(crate) fn any_changed(files: &mut [Stamp]) -> bool {
    // No end at the first one: none is told of again.
    files
        .iter_mut()
        .fold(false, |any, file| file.has_changed() | any)
}
