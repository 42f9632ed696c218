use std::io::Write as _;

use base::Org;
use tempfile::TempDir;
use usage::{Counts, Key, Lost, Row, StatusClass};

use super::*;

const ROOMY: u64 = 64 * 1024 * 1024;

fn open(folder: &TempDir, bytes_max: u64) -> Spool {
    Spool::open(&folder.path().join("usage"), "n1", bytes_max).unwrap()
}

fn batch(spool: &Spool, sequence: u64) -> Batch {
    let key = Key {
        org: Org::default_org(),
        environment: "production".to_owned(),
        api: "pets".to_owned(),
        operation: "list".to_owned(),
        application: String::new(),
        plan: String::new(),
        status: StatusClass::of(200),
    };
    let mut counts = Counts {
        requests: 2,
        ..Counts::default()
    };
    counts.gateway.record(1_000 + sequence);
    counts.gateway.record(2_000);
    Batch {
        node: "n1".to_owned(),
        epoch: spool.epoch(),
        sequence,
        from_unix_ms: 1_000 * sequence,
        rows: vec![Row { key, counts }],
        keys: Vec::new(),
        sent_requests: 2 * sequence,
        lost: Lost::default(),
        last: false,
        unclean: None,
    }
}

fn append(spool: &mut Spool, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        let batch = batch(spool, sequence);
        assert_eq!(spool.append(batch).unwrap(), Appended::Kept);
    }
}

/// Reads and acknowledges everything; gives the sequences.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(batch) = spool.next().unwrap() {
        seen.push(batch.sequence);
        spool.acknowledge();
    }
    seen
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let list = segment::list(&folder.path().join("usage")).unwrap();
    list.into_iter().map(|segment| segment.path).collect()
}

#[test]
fn batches_come_back_in_order_and_whole() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=3);
    let first = spool.next().unwrap().unwrap();
    assert_eq!(first, batch(&spool, 1));
    assert_eq!(
        spool.next().unwrap().unwrap().sequence,
        1,
        "until it is acknowledged"
    );
    spool.acknowledge();
    append(&mut spool, 4..=4);
    assert_eq!(drain(&mut spool), [2, 3, 4]);
    assert_eq!(spool.next().unwrap(), None);
    assert_eq!(spool.waiting_bytes(), 0);
    append(&mut spool, 5..=5);
    assert!(spool.waiting_bytes() > 0);
    assert_eq!(drain(&mut spool), [5]);
}

/// req: O1
#[test]
fn a_start_after_a_crash_sends_what_is_left_and_tells() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    let first = spool.epoch();
    assert_eq!(spool.unclean(), None);
    append(&mut spool, 1..=4);
    spool.next().unwrap();
    spool.acknowledge();
    drop(spool);
    let mut spool = open(&folder, ROOMY);
    assert!(spool.epoch() > first);
    let unclean = Unclean {
        epoch: first,
        sequence: 4,
    };
    assert_eq!(spool.unclean(), Some(unclean));
    append(&mut spool, 1..=1);
    // The first of the earlier epoch comes once more: that it was acknowledged is not written down.
    assert_eq!(drain(&mut spool), [1, 2, 3, 4, 1]);
    assert_eq!(files(&folder).len(), 1, "what is acknowledged is gone");
}

#[test]
fn a_start_after_a_stop_has_nothing_to_tell() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=1);
    let mut last = batch(&spool, 2);
    last.last = true;
    spool.append(last).unwrap();
    drop(spool);
    assert_eq!(open(&folder, ROOMY).unclean(), None);
}

/// The latest sequence is known though its file has just begun and all others are gone.
#[test]
fn the_last_sequence_survives_the_change_of_files() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    let epoch = spool.epoch();
    append(&mut spool, 1..=5);
    spool.begin_segment().unwrap();
    assert_eq!(drain(&mut spool), [1, 2, 3, 4, 5]);
    assert_eq!(files(&folder).len(), 1);
    drop(spool);
    let unclean = open(&folder, ROOMY).unclean();
    assert_eq!(unclean, Some(Unclean { epoch, sequence: 5 }));
}

/// A write that was torn by a power cut, at many places: the first and the last bytes among them.
#[test]
fn torn_writes_cost_the_torn_batch_alone() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=2);
    let epoch = spool.epoch();
    drop(spool);
    let file = files(&folder).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let second = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    let ends =
        (second..whole.len())
            .step_by(29)
            .chain([second + 1, whole.len() - 2, whole.len() - 1]);
    for end in ends {
        let folder = TempDir::new().unwrap();
        drop(open(&folder, ROOMY));
        std::fs::write(&files(&folder)[0], &whole[..end]).unwrap();
        let mut spool = open(&folder, ROOMY);
        // The last byte is the line's end: all of the batch is there without it.
        let there = if end == whole.len() - 1 { 2 } else { 1 };
        assert_eq!(
            spool.unclean(),
            Some(Unclean {
                epoch,
                sequence: there
            }),
            "{end}"
        );
        append(&mut spool, 1..=1);
        let expected: Vec<u64> = (1..=there).chain([1]).collect();
        assert_eq!(drain(&mut spool), expected, "{end}");
        let torn = u64::from(end > second && there == 1);
        assert_eq!(spool.damaged(), torn, "{end}");
    }
}

#[test]
fn a_spoiled_line_is_left_out_and_counted() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=3);
    drop(spool);
    let file = files(&folder).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut spool = open(&folder, ROOMY);
    assert_eq!(drain(&mut spool), [1, 3]);
    assert_eq!(spool.damaged(), 1);
}

#[test]
fn a_full_spool_refuses_what_comes_and_keeps_what_is_there() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, 4_096);
    let mut kept = 0;
    while spool.append(batch(&spool, kept + 1)).unwrap() == Appended::Kept {
        kept += 1;
    }
    assert!(kept > 4, "{kept}");
    let on_disk: u64 = files(&folder)
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(on_disk <= 4_096, "{on_disk}");
    // A stop is written all the same.
    let mut last = batch(&spool, kept + 2);
    (last.last, last.rows) = (true, Vec::new());
    assert_eq!(spool.append(last).unwrap(), Appended::Kept);
    let expected: Vec<u64> = (1..=kept).chain([kept + 2]).collect();
    assert_eq!(drain(&mut spool), expected);
    append(&mut spool, kept + 3..=kept + 3);
    assert_eq!(drain(&mut spool), [kept + 3]);
}

/// What is acknowledged as it comes does not fill the disk.
#[test]
fn the_disk_holds_little_while_the_control_plane_is_there() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, 16 * 1024);
    for sequence in 1..=500 {
        append(&mut spool, sequence..=sequence);
        assert_eq!(drain(&mut spool), [sequence]);
    }
    assert!(files(&folder).len() <= 2);
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usage");
    std::fs::create_dir(&path).unwrap();
    let mut note = std::fs::File::create(path.join("note.txt")).unwrap();
    note.write_all(b"x").unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=1);
    assert_eq!(drain(&mut spool), [1]);
    assert!(path.join("note.txt").exists());
}

#[test]
fn a_file_that_is_gone_is_counted_and_left_out() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, ROOMY);
    append(&mut spool, 1..=2);
    spool.begin_segment().unwrap();
    append(&mut spool, 3..=3);
    std::fs::remove_file(&files(&folder)[0]).unwrap();
    assert_eq!(drain(&mut spool), [3]);
    assert_eq!(spool.damaged(), 1);
}
