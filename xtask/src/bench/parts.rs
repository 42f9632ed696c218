//! All that is measured. A further part is a file with a function and a line here.

use std::fmt::Write as _;
use std::pin::Pin;

use clap::builder::PossibleValuesParser;

use super::report::Report;
use super::{
    Bench, bodies, calls, connections, cramped, functions, identity, key_table, pace, platform,
    propagation, revocation, routes, tls,
};

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A part that can be run alone.
pub(crate) struct Part {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it measures.
    pub(crate) what: &'static str,
    /// Measures it, and adds its tables and figures to the report.
    pub(crate) run: for<'a> fn(&'a Bench, &'a mut Report) -> Running<'a>,
}

macro_rules! parts {
    ($($name:literal, $what:literal => $run:path;)+) => {
        &[$(Part { name: $name, what: $what, run: |bench, report| Box::pin($run(bench, report)) }),+]
    };
}

/// In the order in which they are measured.
pub(crate) const PARTS: &[Part] = parts! {
    "calls", "calls on one core, beside nginx, Envoy and HAProxy" => calls::one_core;
    "calls-two-cores", "calls on two cores" => calls::two_cores;
    "cores", "two cores beside one: what contention costs" => calls::contention;
    "typical", "calls through a typical stack of policies" => calls::typical;
    "policies", "each policy alone and in a typical stack, without sockets" => functions::policies;
    "limit-keys", "memory of the keys that limits count under" => functions::limit_keys;
    "tls", "HTTPS, handshakes, HTTP/2, beside nginx" => tls::measure;
    "routes", "10,000 routes beside 10" => routes::measure;
    "pace", "latency at half of nginx's saturation" => pace::measure;
    "few", "start-up, memory and edits with few APIs" => platform::few;
    "many", "start-up, memory and edits with many APIs" => platform::many;
    "cramped", "start with 7,000 APIs on one core with 512 MB" => cramped::measure;
    "bodies", "memory while large bodies pass both ways" => bodies::measure;
    "idle-connections", "memory of 10,000 idle connections, of HTTP/1.1 in clear text and over TLS, and of HTTP/2" => connections::measure;
    "propagation", "a change made at one of two processes on one PostgreSQL" => propagation::measure;
    "identity", "tokens, the code flow and introspection, by CPU time" => identity::measure;
    "revocation", "from a revocation until the refusal, under load" => revocation::measure;
    "keys", "1,000,000 API keys in the tables of a node" => key_table::measure;
};

/// What `--only` takes.
pub(crate) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PARTS.iter().map(|part| part.name))
}

/// The list for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Parts:\n".to_owned();
    for part in PARTS {
        let _ = writeln!(text, "  {:16} {}", part.name, part.what);
    }
    text
}
