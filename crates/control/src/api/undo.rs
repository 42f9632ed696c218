//! Taking a revision back: what the documents were before it is written again, as a change like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use base::{Diagnostic, Digest, code};
use serde_json::Value;
use spec::{Definition, Document, Kind};
use store::{HistoryEntry, HistoryFilter, HistoryKind, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit::OF_PUBLISHERS;
use super::bundle::difference;
use super::{Action, ApplyResult, NotUndone, UndoAnswer, UndoParams};
use crate::Control;
use crate::change::{Change, Delete, Put, definition_text, prepare};
use crate::http::{ApiError, ApiResult, Caller, Json, Name, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new().routes(routes!(undo))
}

/// Take back what a revision of the store changed
///
/// Documents become what they were before it, in a new revision and with all checks of any change. It is refused where a
/// later revision changed one of them, unless forced. Credentials, users, tokens and keys are not brought back: their
/// secrets are gone.
#[utoipa::path(post, path = "/revisions/{revision}/undo", operation_id = "undo", tag = "audit",
    params(("revision" = u64, Path, description = "The revision, as the audit tells it"), UndoParams),
    responses((status = 200, description = "What became of each document, and what could not be taken back", body = UndoAnswer)))]
async fn undo(
    State(control): State<Control>,
    caller: Caller,
    Name(revision): Name,
    Params(params): Params<UndoParams>,
) -> ApiResult<Json<UndoAnswer>> {
    caller.require(&[Role::Publisher])?;
    let undone: u64 = revision
        .parse()
        .map_err(|_| ApiError::bad_request(format!("`{revision}` is no number of a revision")))?;
    let writing = control.writing().await?;
    let (before, refused) = before(&control, &caller, undone).await?;
    if !params.force {
        changed_later(&control, &caller, undone, before.keys()).await?;
    }
    let change = change(&control, &caller, before).await?;
    let prepared = prepare(&control, &caller, change).await?;
    let mut made = None;
    if !params.dry_run && !prepared.writes.is_empty() {
        made = Some(control.commit(&caller, prepared.writes).await?);
    }
    drop(writing);
    if let Some(revision) = made {
        let waiting = params.waiting();
        waiting.acknowledged(&control, revision).await?;
    }
    let results = prepared.outcomes.iter().map(|outcome| ApplyResult {
        kind: outcome.kind.to_string(),
        name: outcome.name.clone(),
        file: None,
        action: outcome.action,
    });
    Ok(Json(UndoAnswer {
        dry_run: params.dry_run,
        undone,
        revision: made,
        results: results.collect(),
        changes: prepared
            .outcomes
            .into_iter()
            .filter(|outcome| outcome.action != Action::Unchanged)
            .map(difference)
            .collect(),
        refused,
        warnings: prepared.warnings.0,
    }))
}

/// What documents were before a revision: `None` = not there.
type Before = BTreeMap<(Kind, String), Option<(Value, Option<Digest>)>>;

/// What the documents were that a revision changed, and what of it cannot be taken back.
async fn before(
    control: &Control,
    caller: &Caller,
    revision: u64,
) -> ApiResult<(Before, Vec<NotUndone>)> {
    let filter = HistoryFilter {
        revision: Some(revision),
        ..HistoryFilter::default()
    };
    let mut entries = control.store().history_list(&caller.org, &filter).await?;
    entries.reverse();
    if entries.is_empty() {
        let what = format!("change in the revision {revision}");
        return Err(ApiError::not_found(what));
    }
    // As with the audit: of other things publishers are not even told.
    if entries
        .iter()
        .any(|entry| !OF_PUBLISHERS.contains(&entry.kind))
    {
        caller.require(&[Role::Admin])?;
    }
    let mut before = Before::new();
    let mut refused = Vec::new();
    for entry in entries {
        match kind(&entry) {
            Some(kind) => {
                let state = entry.before.map(|document| (document, entry.before_blob));
                // Changed twice: it becomes what it was at first.
                before.entry((kind, entry.name)).or_insert(state);
            }
            None => refused.push(not_undone(entry)),
        }
    }
    if before.is_empty() {
        let reasons = refused.iter().map(|refused| {
            let what = format!("{} {}: {}", refused.kind, refused.name, refused.reason);
            Diagnostic::error("not-undone", "", what)
        });
        return Err(ApiError::faulty(code::CANNOT_UNDO, reasons));
    }
    Ok((before, refused))
}

fn kind(entry: &HistoryEntry) -> Option<Kind> {
    let HistoryKind::Record(kind) = entry.kind else {
        return None;
    };
    Kind::ALL
        .into_iter()
        .find(|other| other.as_str() == kind.as_str())
}

fn not_undone(entry: HistoryEntry) -> NotUndone {
    let gone = entry.after.is_none();
    let reason = match entry.kind {
        HistoryKind::Credential if gone => "its secret is gone; make a new one",
        HistoryKind::Credential => "delete it with `tollway credentials` or `tollway apikey`",
        HistoryKind::User if gone => "its password is gone; make the user again",
        HistoryKind::User => "change or delete the user with `tollway user`",
        HistoryKind::Token => "a revoked token stays revoked",
        HistoryKind::SigningKey => "keys are not taken back",
        HistoryKind::RegistrationToken => "registration tokens are not taken back; make a new one",
        HistoryKind::Session => "who was logged out logs in again",
        HistoryKind::Consent => "the user allows it again, or takes it back with `tollway consent`",
        HistoryKind::Record(_) => "it is no document",
    };
    NotUndone {
        kind: entry.kind.as_str().to_owned(),
        name: entry.name,
        reason: reason.to_owned(),
    }
}

/// Refuses when a later revision changed one of these documents.
async fn changed_later(
    control: &Control,
    caller: &Caller,
    revision: u64,
    documents: impl Iterator<Item = &(Kind, String)>,
) -> ApiResult<()> {
    let mut conflicts = Vec::new();
    for (kind, name) in documents {
        let filter = HistoryFilter {
            later_than: Some(revision),
            ..HistoryFilter::of(crate::catalogue::record_kind(*kind), name)
        };
        let later = control.store().history_list(&caller.org, &filter).await?;
        if later.is_empty() {
            continue;
        }
        let by: BTreeSet<String> = later
            .iter()
            .map(|entry| format!("{} ({})", entry.revision, entry.actor))
            .collect();
        let by: Vec<String> = by.into_iter().collect();
        let message = format!(
            "{kind} `{name}` was changed again by revision {}",
            by.join(", ")
        );
        conflicts.push(
            Diagnostic::error("changed-later", "", message)
                .mend("undo those first, or lose them with `--force`"),
        );
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(ApiError::faulty(code::CANNOT_UNDO, conflicts))
}

/// The change that makes the documents what they were.
async fn change(control: &Control, caller: &Caller, before: Before) -> ApiResult<Change> {
    let mut change = Change::default();
    for ((kind, name), state) in before {
        let Some((document, blob)) = state else {
            let record_kind = crate::catalogue::record_kind(kind);
            let store = control.store();
            let there = store.record_get(&caller.org, record_kind, &name).await?;
            // Deleted since: it is what it was before.
            if there.is_some() {
                change.deletes.push(Delete {
                    kind,
                    name,
                    cascade: false,
                });
            }
            continue;
        };
        let document = spec::from_json(document)
            .map_err(|problems| ApiError::faulty(code::INVALID_DOCUMENT, problems))?;
        let mut put = Put::of(document);
        put.definition = definition(control, &put.document, blob).await?;
        change.puts.push(put);
    }
    Ok(change)
}

/// The definition that an API had.
async fn definition(
    control: &Control,
    document: &Document,
    blob: Option<Digest>,
) -> ApiResult<Option<Arc<str>>> {
    let Some(Definition::File(_)) = document.as_api().map(|api| &api.definition.at) else {
        return Ok(None);
    };
    if blob.is_none() {
        let message = format!(
            "the definition that `{}` had is not known: the change is older than the record of definitions",
            document.name()
        );
        let problem = Diagnostic::error("definition-unknown", "/spec/definition", message)
            .mend("apply the documents as they were");
        return Err(ApiError::faulty(code::CANNOT_UNDO, [problem]));
    }
    let text = definition_text(control.store(), document, blob).await?;
    Ok(Some(text))
}
