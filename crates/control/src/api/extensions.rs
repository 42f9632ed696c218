//! What the `x-wso2-*` keys of a definition mean for the API that is made of it.

use std::collections::BTreeSet;

use base::{Diagnostic, Diagnostics};
use spec::ApiSpec;
use store::{Filter, Page, RecordKind};
use wso2::Chosen;

use super::ImportRequest;
use super::source::ImportSource;
use crate::Control;
use crate::http::{ApiResult, Caller};

/// What the request decides, whatever the keys say.
pub(super) fn chosen(request: &ImportRequest) -> Chosen {
    Chosen {
        context: request.context.is_some(),
        backend: request.backend.is_some(),
        plans: !request.plans.is_empty(),
    }
}

/// Writes what the keys mean into the document that is being made, and answers what its author should know.
///
/// # Errors
/// `INVALID_DOCUMENT` for keys that are malformed; the store's.
pub(super) async fn apply(
    control: &Control,
    caller: &Caller,
    source: &ImportSource,
    read: &openapi::Read,
    chosen: &Chosen,
    api: &mut ApiSpec,
) -> ApiResult<Vec<Diagnostic>> {
    let problems_max = tree::Limits::default().problems_max;
    let (extensions, mut found) = wso2::read(read.source.tree(), &read.definition, problems_max);
    let plans = match &extensions.keys.tier {
        Some(_) => plans(control, caller).await?,
        None => BTreeSet::new(),
    };
    found.extend(wso2::into_document(
        &extensions,
        &read.definition,
        Some(&plans),
        chosen,
        api,
    ));
    read.source.locate(&mut found);
    if found.has_errors() {
        return Err(source.faulty(found));
    }
    let Diagnostics(mut warnings) = crate::definition::named(found, source.files.root());
    warnings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    Ok(warnings)
}

/// The names of the plans that there are.
async fn plans(control: &Control, caller: &Caller) -> ApiResult<BTreeSet<String>> {
    let store = control.store();
    let records = store
        .record_list(
            &caller.org,
            RecordKind::Plan,
            &Filter::default(),
            &Page::ALL,
        )
        .await?;
    Ok(records.into_iter().map(|record| record.name).collect())
}
