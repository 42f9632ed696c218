//! `tollway usage`

use control::api::{
    BootEnd, BootItem, Latency, Reconciliation, UsageItem, UsageParams, UsageReport, paths,
};

use super::args::{Common, Format, Usage, UsageBy, UsageCommand, UsageQuestion};
use super::failure::Failure;
use super::{client, output};

/// Carries out `tollway usage …`.
pub(crate) async fn run(usage: Usage) -> Result<(), Failure> {
    match usage.command {
        None => report(usage.question).await,
        Some(UsageCommand::Reconcile(common)) => reconcile(&common).await,
    }
}

async fn report(question: UsageQuestion) -> Result<(), Failure> {
    let common = question.common.clone();
    let by = question.by.clone();
    let query = query(question)?;
    let report: UsageReport = client(&common.target)?
        .get(&format!("{}{query}", paths::USAGE))
        .await?;
    if common.output != Format::Table {
        return output::one(&report, common.output, |_| String::new());
    }
    let timed = report.items.iter().any(|item| item.at_unix_ms.is_some());
    let mut header: Vec<&str> = Vec::new();
    header.extend(timed.then_some("FROM"));
    header.extend(by.iter().map(|by| by.header()));
    header.extend([
        "REQUESTS",
        "ERRORS",
        "IN",
        "OUT",
        "P50",
        "P95",
        "P99",
        "BACKEND P50",
        "P95",
        "P99",
    ]);
    let mut items = report.items;
    // One group is the total itself.
    if timed || !by.is_empty() {
        items.push(report.total);
    }
    output::list(&items, Format::Table, &header, |item| {
        let mut row = Vec::new();
        let total = item.at_unix_ms.is_none() && by.iter().all(|by| by.of(item).is_none());
        if timed {
            row.push(item.at_unix_ms.map(output::time).unwrap_or_default());
        }
        row.extend(by.iter().map(|by| by.of(item).unwrap_or_default()));
        if total && let Some(first) = row.first_mut() {
            "total".clone_into(first);
        }
        row.extend(numbers(item));
        row
    })
}

fn numbers(item: &UsageItem) -> Vec<String> {
    let mut row = vec![
        item.requests.to_string(),
        format!("{:.1}%", item.error_share * 100.0),
        bytes(item.bytes_in),
        bytes(item.bytes_out),
    ];
    for latency in [&item.gateway, &item.backend] {
        let Latency {
            p50_us,
            p95_us,
            p99_us,
            ..
        } = latency;
        row.extend([p50_us, p95_us, p99_us].map(|us| us.map(time).unwrap_or_default()));
    }
    row
}

impl UsageBy {
    fn header(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Operation => "OPERATION",
            Self::App => "APPLICATION",
            Self::Plan => "PLAN",
            Self::Status => "STATUS",
            Self::Environment => "ENVIRONMENT",
        }
    }

    /// The dimension's name at the control API.
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Operation => "operation",
            Self::App => "application",
            Self::Plan => "plan",
            Self::Status => "status",
            Self::Environment => "environment",
        }
    }

    fn of(self, item: &UsageItem) -> Option<String> {
        match self {
            Self::Api => item.api.clone(),
            Self::Operation => item.operation.clone(),
            Self::App => item.application.clone(),
            Self::Plan => item.plan.clone(),
            Self::Status => item.status.clone(),
            Self::Environment => item.environment.clone(),
        }
    }
}

fn query(question: UsageQuestion) -> Result<String, Failure> {
    let by: Vec<&str> = question.by.iter().map(|by| by.name()).collect();
    let params = UsageParams {
        api: question.api,
        operation: question.operation,
        application: question.app,
        plan: question.plan,
        status: question.status,
        environment: question.environment,
        group_by: Some(by.join(",")).filter(|names| !names.is_empty()),
        step: question.step.map(Into::into),
        since: question.since,
        from: question.from,
        to: question.to,
    };
    let value = serde_json::to_value(&params).map_err(|error| Failure::Usage(error.to_string()))?;
    let pairs: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some(format!("{name}={}", paths::escaped(value.as_str()?))))
        .collect();
    Ok(if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    })
}

/// Exit code 1 when something that nodes sent is not stored.
async fn reconcile(common: &Common) -> Result<(), Failure> {
    let told: Reconciliation = client(&common.target)?.get(paths::RECONCILIATION).await?;
    if common.output == Format::Table {
        output::list(
            &told.items,
            Format::Table,
            &[
                "NODE",
                "EPOCH",
                "FIRST",
                "LATEST",
                "END",
                "BATCHES",
                "MISSING",
                "SENT",
                "STORED",
                "DIFFERENCE",
                "LOST",
            ],
            boot,
        )?;
        println!(
            "\nsent {}, stored {}, difference {}, lost by nodes {}, unclean boots {}",
            told.sent_requests,
            told.stored_requests,
            told.difference,
            told.lost_requests,
            told.unclean_boots
        );
    } else {
        output::one(&told, common.output, |_| String::new())?;
    }
    if told.difference == 0 {
        Ok(())
    } else {
        Err(Failure::No)
    }
}

fn boot(boot: &BootItem) -> Vec<String> {
    let end = match (boot.end, boot.found_sequence) {
        (BootEnd::Open, _) => "open".to_owned(),
        (BootEnd::Clean, _) => "clean".to_owned(),
        (BootEnd::Unclean, None) => "unclean".to_owned(),
        (BootEnd::Unclean, Some(sequence)) => format!("unclean after {sequence}"),
    };
    vec![
        boot.node.clone(),
        boot.epoch.clone(),
        output::time(boot.first_unix_ms),
        output::time(boot.latest_unix_ms),
        end,
        boot.stored_batches.to_string(),
        boot.missing_batches.to_string(),
        boot.sent_requests.to_string(),
        boot.stored_requests.to_string(),
        boot.difference.to_string(),
        boot.lost_requests.to_string(),
    ]
}

/// A time as people read it; three digits are more than a sketch knows.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// A size as people read it.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_for_people() {
        for (us, text) in [(999, "999 µs"), (1_250, "1.2 ms"), (2_500_000, "2.50 s")] {
            assert_eq!(time(us), text);
        }
        for (size, text) in [
            (999, "999 B"),
            (12_345, "12.3 kB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }
}
