//! Files that are read again when they have changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How often at most a file is looked at, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 1_000;

/// How a file looked. Taken before it is read: a change in between is seen by the next look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    path: PathBuf,
    /// `None` where there is no file.
    seen: Option<Seen>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    changed: SystemTime,
    bytes: u64,
    /// Another file under the same name has another number.
    number: u64,
}

impl Stamp {
    /// How this file looks now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        let seen = found.and_then(|found| {
            Some(Seen {
                changed: found.modified().ok()?,
                bytes: found.len(),
                number: found.ino(),
            })
        });
        Self {
            path: path.to_owned(),
            seen,
        }
    }

    /// Whether the file looks different by now; it is known as it looks now from here on.
    pub fn has_changed(&mut self) -> bool {
        let now = Self::of(&self.path);
        let changed = now != *self;
        *self = now;
        changed
    }
}

/// Looks at all of them; whether one has changed.
pub fn any_changed(files: &mut [Stamp]) -> bool {
    // No end at the first one: none is told of again.
    files
        .iter_mut()
        .fold(false, |any, file| file.has_changed() | any)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that takes the place of another one is another file, also where it is as long and as old.
    #[test]
    fn another_file_of_the_same_name_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("tls.crt"), folder.path().join("new"));
        let mut stamp = Stamp::of(&path);
        assert!(!stamp.has_changed(), "nothing is nothing");
        std::fs::write(&path, "old").unwrap();
        assert!(stamp.has_changed() && !stamp.has_changed());
        std::fs::write(&other, "new").unwrap();
        let at = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = std::fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(at).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(any_changed(std::slice::from_mut(&mut stamp)));
        std::fs::remove_file(&path).unwrap();
        assert!(stamp.has_changed());
    }
}
