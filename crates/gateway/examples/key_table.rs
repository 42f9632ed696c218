//! What API keys take at a node, and what finding one costs: `cargo run --release -p gateway --example key_table [MANY]`.
//!
//! Prints one line of JSON: bytes of a key among `MANY` (1,000,000) and among 1,000, and nanoseconds of CPU of a look-up,
//! its hashing included: of the same 1,000 keys in both tables, and of keys from everywhere in the large one, which the
//! processor's caches do not hold.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "an example that prints a measurement"
)]

use std::hint::black_box;

use aws_lc_rs::hmac;
use base::{ApplicationId, CredentialId, Digest, Environment, Org};
use gateway::directory::NodeDirectory;
use policy::Directory as _;
use sync::{Entry, EntryKey, KeyHash, Update};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Applications that the keys belong to.
const APPLICATIONS: usize = 1_000;
/// Keys of one update.
const BATCH: usize = 10_000;
/// Keys that are looked for everywhere in the large table.
const SPREAD: usize = 100_000;
/// Look-ups in one turn, and turns; the medians count.
const LOOKUPS: usize = 100_000;
const TURNS: usize = 9;

const HASHING: [u8; 32] = [7; 32];

/// The text of a key, as long as a real one.
fn text(number: usize) -> String {
    format!("twk_{number:059}")
}

fn update(entries: Vec<(EntryKey, Option<Entry>)>) -> Update {
    Update {
        revision: 1,
        reset: false,
        public_url: None,
        environment: String::new(),
        apis: Vec::new(),
        backends: Vec::new(),
        plans: Vec::new(),
        issuers: Vec::new(),
        listeners: Vec::new(),
        entries,
    }
}

/// A node's tables with so many keys, and how much memory each took, in bytes.
fn table(count: usize) -> (NodeDirectory, f64) {
    let directory = NodeDirectory::new();
    let applications: Vec<ApplicationId> = (0..APPLICATIONS)
        .map(|_| ApplicationId::generate())
        .collect();
    let mut entries = vec![(
        EntryKey::ApiKeyHashing,
        Some(Entry::ApiKeyHashing {
            key: HASHING.to_vec(),
        }),
    )];
    for (number, id) in applications.iter().enumerate() {
        let entry = Entry::Application {
            org: Org::default_org(),
            name: format!("app-{number}"),
            owner: None,
        };
        entries.push((EntryKey::Application(*id), Some(entry)));
    }
    directory.apply(&update(entries));
    let hashing = hmac::Key::new(hmac::HMAC_SHA256, &HASHING);
    let key = |number: usize| {
        let tag = hmac::sign(&hashing, text(number).as_bytes());
        let hash = Digest::from_bytes(tag.as_ref().try_into().unwrap());
        let entry = Entry::ApiKey {
            application: applications[number % APPLICATIONS],
            keys: vec![KeyHash {
                hash,
                expires_unix_s: None,
            }],
            environment: Environment::Production,
            limits: base::KeyLimits::default(),
        };
        (EntryKey::Credential(CredentialId::generate()), Some(entry))
    };
    let before = resident_bytes();
    for first in (0..count).step_by(BATCH) {
        let batch = (first..count.min(first + BATCH)).map(key).collect();
        directory.apply(&update(batch));
    }
    let grown = resident_bytes() - before;
    (directory, grown / count as f64)
}

/// Memory of this process that is resident.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() * 1024.0
}

/// Time that this thread was on a processor, in nanoseconds (sched-stats of the kernel's documentation).
fn cpu_ns() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_ascii_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Nanoseconds of CPU of one look-up.
fn lookup_ns(directory: &NodeDirectory, texts: &[String]) -> f64 {
    let begun = cpu_ns();
    for text in texts.iter().cycle().take(LOOKUPS) {
        assert!(black_box(directory.api_key(black_box(text))).is_some());
    }
    (cpu_ns() - begun) / LOOKUPS as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let many = std::env::args()
        .nth(1)
        .map_or(MANY, |text| text.parse().unwrap());
    let (small, few_bytes) = table(FEW);
    let (large, many_bytes) = table(many);
    let hot: Vec<String> = (0..FEW.min(many)).map(text).collect();
    // A prime step: neighbours in time are none in the table.
    let spread: Vec<String> = (0..SPREAD).map(|at| text(at * 7_919 % many)).collect();
    let cases = [(&small, &hot), (&large, &hot), (&large, &spread)];
    let mut took = [const { Vec::new() }; 3];
    for (directory, texts) in cases {
        lookup_ns(directory, texts);
    }
    for _ in 0..TURNS {
        for ((directory, texts), took) in cases.iter().zip(&mut took) {
            took.push(lookup_ns(directory, texts));
        }
    }
    let [few_ns, many_ns, spread_ns] = took.map(median);
    println!(
        "{{\"keys\":{many},\"bytes\":{many_bytes:.1},\"few\":{FEW},\"few_bytes\":{few_bytes:.1},\"few_ns\":{few_ns:.1},\
         \"many_ns\":{many_ns:.1},\"spread_ns\":{spread_ns:.1}}}"
    );
}
