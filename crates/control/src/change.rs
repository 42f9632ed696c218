//! The one way to change documents: what is wanted is laid over what is stored, checked as a whole, and becomes one batch.
//!
//! REST calls on one document, imports, life cycle moves and `apply` all come through [`prepare`]; `validate`, `diff`
//! and dry runs do the same and throw the batch away. So whatever one of them says, the others do.

mod check;
mod fault;
mod mounts;
mod revisions;
mod subscriptions;
mod work;

use std::sync::Arc;

use base::{Diagnostics, Digest};
use spec::{Definition, Document, Kind};
use store::{Expect, ResourceStore, StoreError, Write};

use crate::Control;
use crate::api::Action;
use crate::catalogue::record_kind;
use crate::http::{ApiResult, Caller};
pub(crate) use fault::{Fault, Faults, Source};
use work::Work;

/// Documents to store and to delete, together.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) puts: Vec<Put>,
    pub(crate) deletes: Vec<Delete>,
    /// Faults that were found while reading: the documents that have them are not among the puts.
    pub(crate) faults: Faults,
}

/// One document to store.
pub(crate) struct Put {
    pub(crate) document: Document,
    /// The definition that came with it, when the document names a file.
    pub(crate) definition: Option<Arc<str>>,
    pub(crate) source: Source,
}

impl Put {
    /// A document that no text stands behind.
    pub(crate) fn of(document: Document) -> Self {
        Self {
            document,
            definition: None,
            source: Source::default(),
        }
    }
}

/// One document to delete.
pub(crate) struct Delete {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Take along the subscriptions to an API.
    pub(crate) cascade: bool,
}

/// A change that was found good.
pub(crate) struct Prepared {
    /// What to commit; empty when nothing is to do.
    pub(crate) writes: Vec<Write>,
    /// What happens to each document: the puts in their order, then the deletions.
    pub(crate) outcomes: Vec<Outcome>,
    /// What the author should know all the same.
    pub(crate) warnings: Diagnostics,
}

/// What happens to one document.
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) action: Action,
    pub(crate) before: Option<Document>,
    pub(crate) after: Option<Document>,
    pub(crate) definition_changed: bool,
}

/// Checks a change and makes the batch of it. The caller holds [`Control::writing`] until the batch is committed.
///
/// # Errors
/// All faults of all documents at once; `FORBIDDEN` where the caller may not do it.
pub(crate) async fn prepare(
    control: &Control,
    caller: &Caller,
    change: Change,
) -> ApiResult<Prepared> {
    let mut work = Work::new(control, caller, change.faults).await?;
    for delete in change.deletes {
        work.delete(delete).await?;
    }
    for put in change.puts {
        work.put(put).await?;
    }
    work.check().await?;
    work.finish()
}

/// The text of an API's definition.
///
/// # Errors
/// [`StoreError::Corrupt`] when its blob is not there or is no text.
pub(crate) async fn definition_text(
    store: &(impl ResourceStore + ?Sized),
    document: &Document,
    blob: Option<Digest>,
) -> store::Result<Arc<str>> {
    let corrupt = || StoreError::Corrupt(format!("the definition of {}", document.name()));
    if let Some(api) = document.as_api()
        && let Definition::Inline(text) = &api.definition.at
    {
        return Ok(text.as_str().into());
    }
    let digest = blob.ok_or_else(corrupt)?;
    let bytes = store.blob_get(&digest).await?.ok_or_else(corrupt)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| corrupt())?;
    Ok(text.into())
}

/// The batch's part for one document that is new or differs.
fn write_put(item: &work::Item, writes: &mut Vec<Write>) {
    if let (Some(digest), Some(text)) = (item.blob, &item.definition) {
        writes.push(Write::BlobPut {
            digest,
            content: Arc::from(text.as_bytes()),
        });
    }
    let expect = match &item.present {
        Some(present) => Expect::Revision(present.revision),
        None => Expect::Absent,
    };
    writes.push(Write::RecordPut {
        kind: record_kind(item.document.kind()),
        name: item.document.name().to_owned(),
        new_id: item.id,
        document: item.document.to_json(),
        digest: item.digest,
        blob: item.blob,
        links: item.links.clone(),
        expect,
    });
    if let Some(made) = &item.made {
        writes.push(Write::ApiRevisionPut {
            api: item.document.name().to_owned(),
            digest: made.digest,
            document: made.content.clone(),
            blob: item.blob,
        });
    }
}

/// The digest of a document with its definition: equal digests mean that nothing differs.
pub(crate) fn content_digest(document: &Digest, blob: Option<&Digest>) -> Digest {
    match blob {
        None => *document,
        Some(blob) => Digest::of_list(&[document.as_bytes(), blob.as_bytes()]),
    }
}
