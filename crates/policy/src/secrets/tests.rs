use std::sync::Arc;

use base::ManualClock;

use super::*;
use crate::{NobodyKnown, Remembered, Runtime};

fn core(folder: &Path) -> Rc<Core> {
    let quotas = Arc::new(limits::Authority::local(limits::Quotas::new(
        limits::Room::for_keys(10),
    )));
    let clock = Arc::new(ManualClock::at(0));
    let mut runtime = Runtime::new(Arc::new(NobodyKnown), quotas, clock);
    runtime.secrets = Secrets::at(folder.to_owned());
    runtime.remembered = Arc::new(Remembered {
        secrets_max: 2,
        ..Remembered::default()
    });
    Core::new(Arc::new(runtime))
}

/// The texts of two files, joined; nothing where one of them says so.
fn joined(core: &Core, now_ms: u64) -> Option<(String, u64)> {
    let files = ["a".into(), "b/c".into()];
    let made = from_files::<String>(core, now_ms, &files, |texts| {
        let text = String::from_utf8(texts.concat()).map_err(|_| "no text".to_owned())?;
        match text.contains("bad") {
            true => Err("bad".to_owned()),
            false => Ok(text),
        }
    });
    made.map(|(text, number)| ((*text).clone(), number))
}

#[test]
fn files_are_read_again_when_they_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    assert_eq!(joined(&core, 0), None);
    std::fs::create_dir(folder.path().join("b")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a", "1");
    write("b/c", "2");
    // Looked at once a second, also while there is nothing.
    assert_eq!(joined(&core, 999), None);
    let (text, first) = joined(&core, 1_000).unwrap();
    assert_eq!(text, "12");
    write("b/c", "longer");
    assert_eq!(joined(&core, 1_999), Some(("12".to_owned(), first)));
    let (text, second) = joined(&core, 2_000).unwrap();
    assert_eq!(text, "1longer");
    assert_ne!(first, second);
    // Unchanged files are not read again.
    assert_eq!(joined(&core, 9_000), Some((text, second)));
    // What cannot be used, or is away, leaves in force what was.
    write("a", "bad");
    assert_eq!(joined(&core, 10_000).unwrap().1, second);
    std::fs::remove_file(folder.path().join("a")).unwrap();
    assert_eq!(joined(&core, 11_000).unwrap().1, second);
    write("a", "3");
    assert_eq!(joined(&core, 12_000).unwrap().0, "3longer");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    std::fs::create_dir(folder.path().join("b")).unwrap();
    std::fs::write(folder.path().join("b/c"), "2").unwrap();
    let large = std::fs::File::create(folder.path().join("a")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert_eq!(joined(&core, 0), None);
}

#[test]
fn without_a_folder_there_is_nothing() {
    let quotas = Arc::new(limits::Authority::local(limits::Quotas::new(
        limits::Room::for_keys(10),
    )));
    let clock = Arc::new(ManualClock::at(0));
    let core = Core::new(Arc::new(Runtime::new(Arc::new(NobodyKnown), quotas, clock)));
    assert_eq!(joined(&core, 0), None);
}

/// Two of them in a test; what is forgotten is read again.
#[test]
fn what_is_made_of_a_bounded_number_of_files_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    let mut read = 0;
    for (name, reads, forgotten) in [
        ("a", 1, 0),
        ("b", 2, 0),
        ("a", 2, 0),
        ("c", 3, 2),
        ("c", 3, 2),
        ("a", 4, 2),
    ] {
        std::fs::write(folder.path().join(name), name).unwrap();
        let made = from_files::<u8>(&core, 0, &[name.into()], |_| {
            read += 1;
            Ok(0)
        });
        assert!(made.is_some());
        let counted = core.runtime.remembered.forgotten(Memory::Secrets);
        assert_eq!((read, counted), (reads, forgotten), "{name}");
    }
}
