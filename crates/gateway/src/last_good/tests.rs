use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base::{ApplicationId, Org};
use sync::{Change, Entry, EntryKey, PlanModel, ResourceKey};

use super::*;

/// Tags instead of encrypting: what matters here is what does not open.
struct Tags(hmac::Key);

impl Tags {
    fn tag(&self, place: &str, plain: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(place.as_bytes());
        context.update(&[0]);
        context.update(plain);
        context.sign()
    }
}

impl Vault for Tags {
    fn seal(&self, place: &str, plain: Vec<u8>) -> Option<Vec<u8>> {
        let mut sealed = self.tag(place, &plain).as_ref().to_vec();
        sealed.extend(plain);
        Some(sealed)
    }

    fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (tag, plain) = sealed.split_at_checked(32)?;
        (self.tag(place, plain).as_ref() == tag).then(|| plain.to_vec())
    }
}

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        vault: Arc::new(Tags(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]))),
        bytes_max: 1 << 30,
        age_max_ms: u64::MAX,
    }
}

fn application(number: u64) -> (EntryKey, Option<Entry>) {
    let id = ApplicationId(uuid::Uuid::from_u128(u128::from(number) + 1));
    let entry = Entry::Application {
        org: Org::default_org(),
        name: format!("app-{number}"),
        owner: None,
    };
    (EntryKey::Application(id), Some(entry))
}

fn update(revision: u64, reset: bool, entries: Vec<(EntryKey, Option<Entry>)>) -> Update {
    Update {
        revision,
        reset,
        environment: "test".into(),
        public_url: None,
        apis: vec![],
        backends: vec![],
        plans: vec![],
        issuers: vec![],
        listeners: vec![],
        entries,
    }
}

/// Waits until this revision is on the disk.
pub(crate) fn kept(state: &KeeperState, revision: u64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while state.revision() != revision {
        assert!(
            Instant::now() < deadline,
            "{revision} is not kept: {state:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A base at revision 10 with two applications, and three deltas, each of which adds one.
fn written(folder: &Path) -> Settings {
    let settings = settings(folder);
    let keeper = Keeper::start(settings.clone()).unwrap();
    assert!(keeper.wants_base());
    keeper.base(
        update(10, true, vec![application(0), application(1)]),
        1_000,
    );
    for revision in 11..14 {
        keeper.delta(
            update(revision, false, vec![application(revision)]),
            revision * 1_000,
        );
    }
    kept(&keeper.state(), 13);
    assert!(!keeper.wants_base());
    settings
}

fn revision(settings: &Settings) -> Option<u64> {
    let loaded = load(settings).ok()??;
    // A revision comes with all that belongs to it, or not at all.
    let entries = loaded.update.entries.len() as u64;
    assert_eq!(entries, 2 + loaded.update.revision - 10);
    Some(loaded.update.revision)
}

#[test]
fn what_was_kept_is_read_back() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    assert!(load(&settings(folder.path())).unwrap().is_none());
    let settings = written(folder.path());
    let loaded = load(&settings).unwrap().unwrap();
    assert_eq!(loaded.update.revision, 13);
    assert_eq!(loaded.update.environment, "test");
    assert!(loaded.update.reset && loaded.damage.is_empty());
    assert_eq!(loaded.seen_unix_ms, 13_000);
    assert_eq!(loaded.update.entries.len(), 5);
    for name in [BASE, DELTAS, SEEN] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// req: GW14
#[test]
fn a_file_cut_off_anywhere_is_read_as_far_as_it_goes_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let settings = written(folder.path());
    let path = folder.path().join(DELTAS);
    let whole = std::fs::read(&path).unwrap();
    let mut last = 10;
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let found = revision(&settings).expect("the base is whole");
        assert!(found >= last && found <= 13, "{length}: {found}");
        last = found;
    }
    assert_eq!(last, 13);
    let path = folder.path().join(BASE);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let damage = load(&settings).unwrap_err();
        assert!(damage.to_string().contains("base: from byte"), "{damage}");
    }
}

#[test]
fn a_byte_that_was_changed_anywhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = written(folder.path());
    for name in [BASE, DELTAS] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x20;
            std::fs::write(&path, changed).unwrap();
            assert_ne!(revision(&settings), Some(13), "{name} {at}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(revision(&settings), Some(13));
}

/// A crash between the two files leaves deltas of the base before.
#[test]
fn deltas_of_another_base_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let settings = written(folder.path());
    let old = std::fs::read(folder.path().join(DELTAS)).unwrap();
    let keeper = Keeper::start(settings.clone()).unwrap();
    keeper.base(
        update(10, true, vec![application(0), application(1)]),
        1_000,
    );
    kept(&keeper.state(), 10);
    drop(keeper);
    std::fs::write(folder.path().join(DELTAS), old).unwrap();
    let loaded = load(&settings).unwrap().unwrap();
    assert_eq!(loaded.update.revision, 10);
    assert!(loaded.damage.is_empty());
}

#[test]
fn a_large_base_goes_into_many_records_and_one_too_large_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    let many = || (0..20_000).map(application).collect::<Vec<_>>();
    let mut all = update(5, true, many());
    all.plans.push(Change {
        key: ResourceKey {
            org: Org::default_org(),
            name: "Gold".into(),
        },
        model: Some(Arc::new(PlanModel {
            org: Org::default_org(),
            name: "Gold".into(),
            quota: None,
            burst: None,
        })),
    });
    let keeper = Keeper::start(settings.clone()).unwrap();
    keeper.base(all, 1);
    kept(&keeper.state(), 5);
    let loaded = load(&settings).unwrap().unwrap().update;
    assert_eq!((loaded.entries.len(), loaded.plans.len()), (20_000, 1));
    settings.bytes_max = 100_000;
    assert!(load(&settings).is_err());
    let keeper = Keeper::start(settings).unwrap();
    let state = keeper.state();
    keeper.base(update(6, true, many()), 1);
    let deadline = Instant::now() + Duration::from_mins(1);
    while state.failures() == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!folder.path().join("base.new").exists());
}

#[test]
fn deltas_that_outgrow_the_base_ask_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::start(settings(folder.path())).unwrap();
    keeper.base(update(1, true, vec![]), 1);
    let entries: Vec<_> = (0..20_000).map(application).collect();
    keeper.delta(update(2, false, entries), 2);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !keeper.wants_base() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
}
