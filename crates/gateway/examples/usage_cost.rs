//! What it costs to count a call in the usage: `cargo run --release -p gateway --example usage_cost`.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example that prints a measurement"
)]

use std::hint::black_box;
use std::time::Instant;

use base::ApplicationId;
use gateway::usage::table::{Call, Subject, Table};
use usage::StatusClass;

const CALLS: u64 = 2_000_000;
/// What comes within a second under load.
const CALLS_AN_INTERVAL: u64 = 40_000;

fn main() {
    for keys in [1_usize, 16, 256, 1_500] {
        let applications: Vec<ApplicationId> =
            (0..keys).map(|_| ApplicationId::generate()).collect();
        let table = Table::new(2_000, 0);
        let mut flushed = 0;
        let begun = Instant::now();
        let mut flushing = std::time::Duration::ZERO;
        for call in 0..CALLS {
            let number = usize::try_from(call).unwrap_or(0);
            let subject = Subject {
                org: "default",
                environment: "production",
                api: "orders-2.1.0",
                operation: "listOrders",
                mark: None,
                method: "GET",
                application: Some(applications[number % keys]),
                plan: "Gold",
                status: StatusClass::of(200),
            };
            let row = table.row(black_box(&subject));
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
                flushed += table.take(call).1.len();
                flushing += begun.elapsed();
            }
        }
        let whole = begun.elapsed().as_nanos() as f64 / CALLS as f64;
        println!(
            "{keys:5} keys: {whole:6.1} ns a call, of it flushing {:.1} ns ({flushed} rows)",
            flushing.as_nanos() as f64 / CALLS as f64
        );
    }
}
