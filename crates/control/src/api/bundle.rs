//! Many documents at once: `validate`, `diff`, `apply`, `export`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use axum::extract::State;
use base::code;
use spec::{Definition, Kind};
use store::{Filter, Page, Role};
use tree::Limits;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    Action, ApplyAnswer, ApplyParams, ApplyResult, Bundle, DiffAnswer, DocumentChange, Export,
    ExportDefinition, ExportDocument, FieldChange, Validation,
};
use crate::Control;
use crate::catalogue::{read, record_kind};
use crate::change::{Change, Delete, Faults, Outcome, Put, Source, content_digest, prepare};
use crate::definition::{self, beside};
use crate::http::{self, ApiError, ApiResult, Caller, Json, Params};

pub(super) fn router() -> OpenApiRouter<Control> {
    OpenApiRouter::new()
        .routes(routes!(validate))
        .routes(routes!(diff))
        .routes(routes!(apply))
        .routes(routes!(export))
}

/// Check documents against the platform, and store nothing
#[utoipa::path(post, path = "/validate", operation_id = "validate", tag = "bundles", request_body = Bundle,
    responses((status = 200, description = "Every error and warning", body = Validation)))]
async fn validate(
    State(control): State<Control>,
    caller: Caller,
    Json(bundle): Json<Bundle>,
) -> ApiResult<Json<Validation>> {
    caller.require(&[Role::Publisher])?;
    let _writing = control.writing().await?;
    let change = change(&control, &caller, bundle, false).await?;
    let (valid, diagnostics) = match prepare(&control, &caller, change).await {
        Ok(prepared) => (true, prepared.warnings.0),
        Err(error) => (false, error.into_diagnostics()?),
    };
    Ok(Json(Validation { valid, diagnostics }))
}

/// Compare documents with those that are stored
#[utoipa::path(post, path = "/diff", operation_id = "diff", tag = "bundles", params(ApplyParams), request_body = Bundle,
    responses((status = 200, description = "What differs; nothing after an `apply` of the same bundle", body = DiffAnswer)))]
async fn diff(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<ApplyParams>,
    Json(bundle): Json<Bundle>,
) -> ApiResult<Json<DiffAnswer>> {
    caller.require(&[Role::Publisher])?;
    let _writing = control.writing().await?;
    let change = change(&control, &caller, bundle, params.prune).await?;
    let prepared = prepare(&control, &caller, change).await?;
    let differing = prepared
        .outcomes
        .into_iter()
        .filter(|outcome| outcome.action != Action::Unchanged);
    Ok(Json(DiffAnswer {
        changes: differing.map(difference).collect(),
        warnings: prepared.warnings.0,
    }))
}

/// Store documents, all or none
#[utoipa::path(post, path = "/apply", operation_id = "apply", tag = "bundles", params(ApplyParams), request_body = Bundle,
    responses((status = 200, description = "What happened to each document", body = ApplyAnswer)))]
async fn apply(
    State(control): State<Control>,
    caller: Caller,
    Params(params): Params<ApplyParams>,
    Json(bundle): Json<Bundle>,
) -> ApiResult<Json<ApplyAnswer>> {
    caller.require(&[Role::Publisher])?;
    let writing = control.writing().await?;
    let change = change(&control, &caller, bundle, params.prune).await?;
    let prepared = prepare(&control, &caller, change).await?;
    let mut revision = None;
    if !params.dry_run && !prepared.writes.is_empty() {
        revision = Some(control.commit(&caller, prepared.writes).await?);
    }
    drop(writing);
    if let Some(revision) = revision {
        let waiting = params.waiting();
        waiting.acknowledged(&control, revision).await?;
    }
    let results = prepared.outcomes.into_iter().map(|outcome| ApplyResult {
        kind: outcome.kind.to_string(),
        name: outcome.name,
        file: outcome.file,
        action: outcome.action,
    });
    Ok(Json(ApplyAnswer {
        dry_run: params.dry_run,
        revision,
        results: results.collect(),
        warnings: prepared.warnings.0,
    }))
}

/// Read a bundle; what cannot be read is a fault of the change.
async fn change(
    control: &Control,
    caller: &Caller,
    bundle: Bundle,
    prune: bool,
) -> ApiResult<Change> {
    let mut faults = Faults::default();
    let mut puts = Vec::new();
    for text in &bundle.documents {
        match spec::parse_located(&text.text, text.file.as_deref(), &Limits::default()) {
            Ok(documents) => {
                let read = documents.into_iter();
                puts.extend(read.map(|one| put(control, one, &bundle, &mut faults)));
            }
            Err(problems) => faults.extend(&Source::default(), problems),
        }
        let max = control.config().bundle_documents_max;
        if puts.len() > max {
            return Err(ApiError::new(
                code::PAYLOAD_TOO_LARGE,
                format!("at most {max} documents are taken at once"),
            ));
        }
    }
    let mut deletes = Vec::new();
    if prune {
        deletes = missing(control, caller, &puts).await?;
    }
    Ok(Change {
        puts,
        deletes,
        faults,
    })
}

fn put(control: &Control, located: spec::Located, bundle: &Bundle, faults: &mut Faults) -> Put {
    let document = located.document.clone();
    let file = document.as_api().and_then(|api| match &api.definition.at {
        Definition::File(file) => Some(file.clone()),
        Definition::Inline(_) => None,
    });
    let source = Source {
        located: Some(located),
        beside: file.is_some(),
    };
    let mut definition = None;
    if let Some(file) = file {
        let sent = |name: &str| bundle.definitions.get(&beside(source.file(), name));
        match definition::gathered(control, &beside(None, &file), sent) {
            Ok(gathered) => definition = gathered.map(|files| files.pack()),
            Err(problems) => {
                faults.extend(&source, definition::named(problems, &file));
                // That it is missing would be no news.
                definition = sent(&file).map(|text| Arc::from(text.as_str()));
            }
        }
    }
    Put {
        document,
        definition,
        source,
    }
}

/// Stored documents that a bundle does not have, of the kinds that it has.
async fn missing(control: &Control, caller: &Caller, puts: &[Put]) -> ApiResult<Vec<Delete>> {
    let mut kept: BTreeMap<Kind, HashSet<&str>> = BTreeMap::new();
    for put in puts {
        let names = kept.entry(put.document.kind()).or_default();
        names.insert(put.document.name());
    }
    let mut deletes = Vec::new();
    for (kind, names) in kept {
        let (filter, page) = (Filter::default(), Page::ALL);
        let store = control.store();
        let stored = store
            .record_list(&caller.org, record_kind(kind), &filter, &page)
            .await?;
        let gone = stored
            .into_iter()
            .filter(|record| !names.contains(record.name.as_str()));
        deletes.extend(gone.map(|record| Delete {
            kind,
            name: record.name,
            cascade: false,
        }));
    }
    Ok(deletes)
}

pub(super) fn difference(outcome: Outcome) -> DocumentChange {
    let whole = |before: Option<&spec::Document>, after: Option<&spec::Document>| {
        vec![FieldChange {
            pointer: String::new(),
            before: before.map(spec::Document::to_json),
            after: after.map(spec::Document::to_json),
        }]
    };
    let fields = match (&outcome.before, &outcome.after) {
        (Some(before), Some(after)) => spec::diff(before, after)
            .into_iter()
            .map(FieldChange::from)
            .collect(),
        (before, after) => whole(before.as_ref(), after.as_ref()),
    };
    DocumentChange {
        kind: outcome.kind.to_string(),
        name: outcome.name,
        action: outcome.action,
        fields,
        definition_changed: outcome.definition_changed,
    }
}

/// Read every document that the caller may read, with the definitions
#[utoipa::path(get, path = "/export", operation_id = "export", tag = "bundles",
    responses((status = 200, description = "The documents in the order in which they can be applied", body = Export)))]
async fn export(State(control): State<Control>, caller: Caller) -> ApiResult<Json<Export>> {
    caller.require(&[Role::Publisher])?;
    let mut taken = BTreeSet::new();
    let mut documents = Vec::new();
    for kind in Kind::ALL {
        if caller
            .require_for(record_kind(kind), http::Action::Read)
            .is_err()
        {
            continue;
        }
        let filter = Filter {
            owner: caller.owner_filter().map(str::to_owned),
            ..Filter::default()
        };
        let filter = match kind {
            Kind::Application | Kind::Subscription => filter,
            _ => Filter::default(),
        };
        let store = control.store();
        let records = store
            .record_list(&caller.org, record_kind(kind), &filter, &Page::ALL)
            .await?;
        for record in records {
            let read = read(&record)?;
            let folder = folder(kind, &record.name, &mut taken);
            let definition = match read.as_api().map(|api| &api.definition.at) {
                Some(Definition::File(_)) => {
                    let files = definition::stored(store, &read, record.blob).await?;
                    Some(exported(&folder, &files))
                }
                _ => None,
            };
            documents.push(ExportDocument {
                kind: kind.to_string(),
                name: record.name.clone(),
                file: file(kind, &folder, definition.as_ref()),
                digest: content_digest(&record.digest, record.blob.as_ref()).to_string(),
                document: record.document,
                definition,
            });
        }
    }
    Ok(Json(Export { documents }))
}

/// The path without extension that belongs to one document alone, also where case does not count.
fn folder(kind: Kind, name: &str, taken: &mut BTreeSet<String>) -> String {
    let wanted = format!("{}/{name}", kind.plural());
    let mut folder = wanted.clone();
    for number in 2.. {
        if taken.insert(folder.to_lowercase()) {
            break;
        }
        folder = format!("{wanted}~{number}");
    }
    folder
}

fn exported(folder: &str, files: &openapi::Files) -> ExportDefinition {
    let path = |name: &str| format!("{folder}/{name}");
    let others = files.others();
    ExportDefinition {
        file: path(files.root()),
        text: files.root_text().to_string(),
        files: others
            .map(|(name, text)| (path(name), text.to_string()))
            .collect(),
    }
}

/// An API has a folder, so that two definitions of one file name do not meet. Its document is called as no file of the
/// definition and no folder of them is, also where case does not count.
fn file(kind: Kind, folder: &str, definition: Option<&ExportDefinition>) -> String {
    if kind != Kind::Api {
        return format!("{folder}.yaml");
    }
    let taken = |wanted: &str| {
        let others = definition.into_iter().flat_map(|one| one.files.keys());
        let mut files = others.chain(definition.map(|one| &one.file));
        let inside = format!("{wanted}/").to_lowercase();
        files.any(|file| {
            file.eq_ignore_ascii_case(wanted) || file.to_lowercase().starts_with(&inside)
        })
    };
    let mut wanted = format!("{folder}/api.yaml");
    let mut number = 1;
    while taken(&wanted) {
        wanted = format!("{folder}/document-{number}.yaml");
        number += 1;
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_get_different_files() {
        let mut taken = BTreeSet::new();
        assert_eq!(folder(Kind::Plan, "Gold", &mut taken), "plans/Gold");
        assert_eq!(folder(Kind::Plan, "gold", &mut taken), "plans/gold~2");
    }

    #[test]
    fn a_definition_never_overwrites_its_document() {
        let definition = ExportDefinition {
            file: "apis/a/API.yaml".to_owned(),
            text: String::new(),
            files: [("apis/a/document-1.yaml/x".to_owned(), String::new())].into(),
        };
        assert_eq!(
            file(Kind::Api, "apis/a", Some(&definition)),
            "apis/a/document-2.yaml"
        );
        assert_eq!(file(Kind::Api, "apis/a", None), "apis/a/api.yaml");
    }
}
