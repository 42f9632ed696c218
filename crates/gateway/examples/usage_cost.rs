//! What it costs to count a call in the usage: `cargo run --release -p gateway --example usage_cost`.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example that prints a measurement"
)]

use std::hint::black_box;
use std::time::Instant;

use base::{ApplicationId, CredentialId, Digest, KeyMark};
use gateway::usage::table::{Call, Subject, Table};
use usage::{KeyUse, StatusClass};

const CALLS: u64 = 2_000_000;
/// What comes within a second under load.
const CALLS_AN_INTERVAL: u64 = 40_000;

/// Nanoseconds of a call, of it flushing, and how many rows were flushed.
struct Cost {
    whole: f64,
    flushing: f64,
    rows: usize,
}

/// Counts calls of so many applications. With `keyed` each call is one with an API key, whose use is noted.
fn counted(keys: usize, keyed: bool) -> Cost {
    let applications: Vec<_> = (0..keys)
        .map(|number| {
            let mark = KeyMark::of(&Digest::of(&number.to_le_bytes()));
            let credential = CredentialId::generate();
            (ApplicationId::generate(), KeyUse { credential, mark })
        })
        .collect();
    let table = Table::new(2_000, 0);
    let mut flushed = 0;
    let begun = Instant::now();
    let mut flushing = std::time::Duration::ZERO;
    for call in 0..CALLS {
        let number = usize::try_from(call).unwrap_or(0);
        let (application, key) = applications[number % keys];
        let subject = Subject {
            org: "default",
            environment: "production",
            api: "orders-2.1.0",
            operation: "listOrders",
            mark: None,
            method: "GET",
            application: Some(application),
            plan: "Gold",
            status: StatusClass::of(200),
        };
        let row = table.row(black_box(&subject));
        if keyed {
            table.used(&row, black_box(key));
        }
        table.count(
            &row,
            black_box(Call {
                bytes_in: 0,
                bytes_out: 300,
                gateway_us: 200 + call % 3_000,
                backend_us: Some(100 + call % 2_900),
            }),
        );
        if call % CALLS_AN_INTERVAL == 0 {
            let begun = Instant::now();
            flushed += table.used_keys().len() + table.take(call).1.len();
            flushing += begun.elapsed();
        }
    }
    let of_a_call = |time: std::time::Duration| time.as_nanos() as f64 / CALLS as f64;
    Cost {
        whole: of_a_call(begun.elapsed()),
        flushing: of_a_call(flushing),
        rows: flushed,
    }
}

fn main() {
    for keys in [1_usize, 16, 256, 1_500] {
        // By turns: what is compared is disturbed alike.
        let (mut plain, mut keyed) = (f64::INFINITY, f64::INFINITY);
        let (mut flushing, mut rows) = (f64::INFINITY, 0);
        for _ in 0..5 {
            let cost = counted(keys, false);
            plain = plain.min(cost.whole);
            flushing = flushing.min(cost.flushing);
            rows = cost.rows;
            keyed = keyed.min(counted(keys, true).whole);
        }
        println!(
            "{keys:5} keys: {plain:6.1} ns a call, of it flushing {flushing:.1} ns ({rows} rows); with an API key {:+.1} ns",
            keyed - plain
        );
    }
}
