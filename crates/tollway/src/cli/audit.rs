//! `tollway audit` and `tollway undo`.

use base::Clock as _;
use control::api::{Action, AuditAction, AuditEntry, List, UndoAnswer, paths};

use super::args::{Audit, Format, Undo};
use super::failure::Failure;
use super::{client, gitops, output, wait_query, waiting_client};

/// Places of one change that a table shows; `-o json` has all.
const PLACES_SHOWN: usize = 3;

/// Carries out `tollway audit`.
pub(crate) async fn audit(audit: &Audit) -> Result<(), Failure> {
    let client = client(&audit.common.target)?;
    let mut filter = String::new();
    let mut add = |key: &str, value: &str| {
        filter.push_str(&format!("&{key}={}", paths::escaped(value)));
    };
    if let Some(kind) = &audit.kind {
        add("kind", kind);
    }
    if let Some(name) = &audit.name {
        let document = name
            .split_once(':')
            .map(|(api, version)| spec::names::api_document_name(api, version));
        add("name", document.as_deref().unwrap_or(name));
    }
    if let Some(actor) = &audit.actor {
        add("actor", actor);
    }
    if let Some(since) = audit.since {
        let since = base::SystemClock::new()
            .unix_ms()
            .saturating_sub(since.as_ms());
        add("sinceUnixMs", &since.to_string());
    }
    if let Some(revision) = audit.revision {
        add("revision", &revision.to_string());
    }
    let mut items: Vec<AuditEntry> = Vec::new();
    let mut after = String::new();
    while items.len() < audit.limit {
        let limit = (audit.limit - items.len()).min(500);
        let path = format!("{}?limit={limit}{filter}{after}", paths::AUDIT);
        let part: List<AuditEntry> = client.get(&path).await?;
        items.extend(part.items);
        match part.next {
            Some(next) => after = format!("&after={}", paths::escaped(&next)),
            None => break,
        }
    }
    output::list(
        &items,
        audit.common.output,
        &["REVISION", "WHEN", "WHO", "ACTION", "WHAT", "WHERE"],
        |entry| {
            vec![
                entry.revision.to_string(),
                output::time(entry.at_unix_ms),
                entry.actor.clone(),
                word(entry.action).to_owned(),
                format!("{} {}", entry.kind, entry.name),
                places(entry),
            ]
        },
    )
}

fn word(action: AuditAction) -> &'static str {
    match action {
        AuditAction::Created => "created",
        AuditAction::Changed => "changed",
        AuditAction::Deleted => "deleted",
        AuditAction::Deployed => "deployed",
        AuditAction::Moved => "moved",
        AuditAction::Revoked => "revoked",
    }
}

/// Where something was changed; nothing of what was created or deleted as a whole.
fn places(entry: &AuditEntry) -> String {
    let fields = entry
        .fields
        .iter()
        .filter(|field| !field.pointer.is_empty());
    let mut places: Vec<String> = fields.map(|field| field.pointer.clone()).collect();
    if entry.definition_changed {
        places.insert(0, "the definition".to_owned());
    }
    let more = places.len().saturating_sub(PLACES_SHOWN);
    places.truncate(PLACES_SHOWN);
    let text = places.join(", ");
    if more == 0 {
        text
    } else {
        format!("{text} and {more} more")
    }
}

/// Carries out `tollway undo`.
pub(crate) async fn undo(undo: &Undo) -> Result<(), Failure> {
    let client = waiting_client(&undo.common.target, undo.wait)?;
    let path = format!(
        "{}?dryRun={}&force={}{}",
        paths::undo(undo.revision),
        undo.dry_run,
        undo.force,
        wait_query(undo.wait, '&')
    );
    let answer: UndoAnswer = client.post(&path, &serde_json::json!({})).await?;
    for warning in &answer.warnings {
        eprintln!("{warning}");
    }
    for refused in &answer.refused {
        eprintln!(
            "not taken back: {} {}: {}",
            refused.kind, refused.name, refused.reason
        );
    }
    match undo.common.output {
        Format::Table => {
            for result in answer
                .results
                .iter()
                .filter(|result| result.action != Action::Unchanged)
            {
                output::raw(&format!(
                    "{} {} {}",
                    gitops::word(result.action, answer.dry_run),
                    result.kind,
                    result.name
                ));
            }
            if let Some(revision) = answer.revision {
                eprintln!(
                    "took revision {} back, as revision {revision}",
                    answer.undone
                );
            }
            Ok(())
        }
        format => output::one(&answer, format, |_| String::new()),
    }
}
