//! A million API keys in the tables of a node: their memory, and what finding one costs. Measured by the example
//! `key_table` of the gateway's crate.

use anyhow::Context;
use serde::Deserialize;

use super::Bench;
use super::calls::APART;
use super::functions::{example, missing, said};
use super::process::pinned;
use super::report::{Report, Table};

/// Bytes of an API key at a gateway.
const KEY_BYTES_MAX: f64 = 200.0;
/// A look-up among many keys, as a multiple of one among few.
const FLAT_MAX: f64 = 1.10;
/// Keys of a short turn.
const KEYS_QUICK: &str = "100000";

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Cost {
        keys: u64,
        bytes: f64,
        few: u64,
        few_ns: f64,
        many_ns: f64,
        spread_ns: f64,
    }
    let Some(program) = example(bench, "key_table") else {
        missing("Memory of an API key at a gateway", "gateway", report);
        return Ok(());
    };
    let mut command = pinned(program, APART.cores);
    if bench.options.quick {
        command.arg(KEYS_QUICK);
    }
    let text = said(&mut command).await?;
    let cost: Cost = serde_json::from_str(&text)
        .with_context(|| format!("the example `key_table` printed {text}"))?;
    let (many, few) = (cost.keys, cost.few);
    let figures = &mut report.figures;
    let what = format!("Memory of an API key at a gateway, among {many}");
    figures.bytes(what, cost.bytes, Some(KEY_BYTES_MAX));
    let what = format!("Look-up of the same {few} keys among {many}, × among {few}");
    figures.ratio(what, cost.many_ns / cost.few_ns, Some(FLAT_MAX));
    let note = "Nanoseconds of CPU of one look-up in the tables of a node, the hashing of the key (HMAC-SHA-256) included; \
                medians of nine turns. Keys from everywhere are in no cache of the processor.";
    let head = ["case", "CPU ns", "× the first"];
    let mut table = Table::new("Look-up of API keys", note, &head);
    for (name, ns) in [
        (format!("the {few} keys of a table of {few}"), cost.few_ns),
        (format!("{few} keys among {many}"), cost.many_ns),
        (format!("keys from everywhere among {many}"), cost.spread_ns),
    ] {
        println!("   {name}: {ns:.0} ns");
        let times = ns / cost.few_ns;
        table.row(vec![name, format!("{ns:.0}"), format!("{times:.2}")]);
    }
    report.tables.push(table);
    Ok(())
}
