//! A change under way: the documents that are wanted beside those that are stored.

use std::collections::HashMap;
use std::sync::Arc;

use base::{ApplicationId, Diagnostic, Digest, code};
use spec::{Definition, Document, Kind, Spec};
use store::record::Links;
use store::{Expect, Filter, Page, Record, RecordKind, Write};

use super::revisions::Made;
use super::{Delete, Fault, Faults, Outcome, Prepared, Put, Source, write_put};
use crate::Control;
use crate::api;
use crate::catalogue::{Catalogue, read, record_kind};
use crate::http::{Action, ApiError, ApiResult, Caller};

/// One document to store.
pub(super) struct Item {
    pub(super) document: Document,
    pub(super) digest: Digest,
    /// The definition that came along.
    pub(super) definition: Option<Arc<str>>,
    pub(super) blob: Option<Digest>,
    pub(super) id: uuid::Uuid,
    pub(super) links: Links,
    pub(super) present: Option<Present>,
    pub(super) source: Source,
    /// The revision that an API is after the change.
    pub(super) made: Option<Made>,
}

/// What is stored under a name.
pub(super) struct Present {
    pub(super) document: Document,
    pub(super) digest: Digest,
    pub(super) blob: Option<Digest>,
    pub(super) id: uuid::Uuid,
    pub(super) links: Links,
    pub(super) revision: u64,
}

impl Present {
    fn of(record: Record) -> store::Result<Self> {
        Ok(Self {
            document: read(&record)?,
            digest: record.digest,
            blob: record.blob,
            id: record.id,
            links: record.links,
            revision: record.revision,
        })
    }
}

impl Item {
    /// It is stored already, just so.
    pub(super) fn unchanged(&self) -> bool {
        self.present
            .as_ref()
            .is_some_and(|old| old.digest == self.digest && old.blob == self.blob)
    }

    /// The same definition is stored, held against the same rules: a newer version's rules, or lower limits, do not
    /// stand in the way of what else is to be changed.
    pub(super) fn accepted_before(&self) -> bool {
        let old = self.present.as_ref();
        let definition = |document: &Document| Some(document.as_api()?.definition.clone());
        let Some((old, new)) = old.and_then(|old| {
            let same_text = old.blob == self.blob;
            let old = definition(&old.document).filter(|_| same_text)?;
            Some((old, definition(&self.document)?))
        }) else {
            return false;
        };
        old.rules == new.rules && (self.blob.is_some() || old.at == new.at)
    }

    fn action(&self) -> api::Action {
        match &self.present {
            None => api::Action::Created,
            Some(_) if self.unchanged() => api::Action::Unchanged,
            Some(_) => api::Action::Updated,
        }
    }
}

/// See the module.
pub(super) struct Work<'a> {
    pub(super) control: &'a Control,
    pub(super) caller: &'a Caller,
    pub(super) after: Catalogue,
    pub(super) items: Vec<Item>,
    /// Where a put stands among the items.
    pub(super) index: HashMap<(Kind, String), usize>,
    /// Deletions that were asked for.
    pub(super) gone: Vec<(Delete, Present)>,
    /// Subscriptions that go along with what they belong to.
    pub(super) taken_along: Vec<Present>,
    pub(super) faults: Faults,
}

impl<'a> Work<'a> {
    pub(super) async fn new(
        control: &'a Control,
        caller: &'a Caller,
        faults: Faults,
    ) -> ApiResult<Self> {
        let stored = control.hub().catalogue(&caller.org).await?;
        Ok(Self {
            control,
            caller,
            after: (*stored).clone(),
            items: Vec::new(),
            index: HashMap::new(),
            gone: Vec::new(),
            taken_along: Vec::new(),
            faults,
        })
    }

    /// Takes a document away.
    pub(super) async fn delete(&mut self, delete: Delete) -> ApiResult<()> {
        let kind = record_kind(delete.kind);
        self.caller.require_for(kind, Action::Write)?;
        let present = self
            .present(kind, &delete.name)
            .await?
            .filter(|present| self.may_see(kind, &present.links))
            .ok_or_else(|| ApiError::not_found(format!("{} `{}`", delete.kind, delete.name)))?;
        self.after.remove(delete.kind, &delete.name);
        self.gone.push((delete, present));
        Ok(())
    }

    /// Lays a document over what is stored.
    pub(super) async fn put(&mut self, mut put: Put) -> ApiResult<()> {
        let kind = put.document.kind();
        let name = put.document.name().to_owned();
        self.caller.require_for(record_kind(kind), Action::Read)?;
        if self.index.contains_key(&(kind, name.clone())) {
            let fault = Diagnostic::error(
                "duplicate-document",
                "/metadata/name",
                format!("{kind} `{name}` is written twice"),
            );
            self.faults.push(&put.source, Fault::invalid(fault));
            return Ok(());
        }
        let present = self.present(record_kind(kind), &name).await?;
        self.own(&mut put.document, present.as_ref())?;
        let blob = self.blob(&put, present.as_ref());
        let mut item = Item {
            digest: put.document.digest(),
            blob,
            id: present
                .as_ref()
                .map_or_else(uuid::Uuid::now_v7, |old| old.id),
            links: Links::default(),
            present,
            document: put.document,
            definition: put.definition,
            source: put.source,
            made: None,
        };
        if !item.unchanged() {
            self.caller.require_for(record_kind(kind), Action::Write)?;
            item.made = self.made(&item).await?;
            if !matches!(kind, Kind::Application | Kind::Subscription) {
                self.after.put(Arc::new(self.held(&item).await?));
            }
        }
        self.index.insert((kind, name), self.items.len());
        self.items.push(item);
        Ok(())
    }

    /// An application belongs to somebody: to whom it did, to whom its document says, or to the caller.
    fn own(&self, document: &mut Document, present: Option<&Present>) -> ApiResult<()> {
        let kind = record_kind(document.kind());
        if let Some(present) = present
            && !self.may_see(kind, &present.links)
        {
            return Err(ApiError::new(
                code::CONFLICT,
                format!("the name `{}` is taken", document.name()),
            ));
        }
        let Spec::Application(application) = &mut document.spec else {
            return Ok(());
        };
        let owner = application.owner.get_or_insert_with(|| {
            present
                .and_then(|old| old.links.owner.clone())
                .unwrap_or_else(|| self.caller.user.clone())
        });
        match self.caller.owner_filter() {
            Some(user) if user != owner => Err(ApiError::new(
                code::FORBIDDEN,
                "only an admin makes applications for others",
            )),
            _ => Ok(()),
        }
    }

    /// Whether the caller may know of this application. Subscriptions are checked with their application.
    fn may_see(&self, kind: RecordKind, links: &Links) -> bool {
        match (kind, self.caller.owner_filter()) {
            (RecordKind::Application, Some(user)) => links.owner.as_deref() == Some(user),
            _ => true,
        }
    }

    /// The digest of the definition, where it is not written in the document. A call that brings none means the stored one.
    fn blob(&mut self, put: &Put, present: Option<&Present>) -> Option<Digest> {
        let Definition::File(file) = &put.document.as_api()?.definition.at else {
            return None;
        };
        if let Some(text) = &put.definition {
            return Some(Digest::of(text.as_bytes()));
        }
        let stored = present.and_then(|old| {
            let same = matches!(&old.document.as_api()?.definition.at, Definition::File(name) if name == file);
            old.blob.filter(|_| same)
        });
        if stored.is_none() {
            let fault = Diagnostic::error(
                "definition-missing",
                "/spec/definition/file",
                format!("the definition `{file}` is neither sent along nor stored"),
            )
            .mend("send it with `apply` or `apis:import`, or write it `inline`");
            self.faults.push(&put.source, Fault::invalid(fault));
        }
        stored
    }

    pub(super) async fn present(&self, kind: RecordKind, name: &str) -> ApiResult<Option<Present>> {
        let org = &self.caller.org;
        let record = self.control.store().record_get(org, kind, name).await?;
        Ok(record.map(Present::of).transpose()?)
    }

    /// Stored documents of a kind.
    pub(super) async fn stored(&self, kind: RecordKind, filter: &Filter) -> ApiResult<Vec<Record>> {
        let org = &self.caller.org;
        let store = self.control.store();
        Ok(store.record_list(org, kind, filter, &Page::ALL).await?)
    }

    /// The put of this document, if there is one.
    pub(super) fn item(&self, kind: Kind, name: &str) -> Option<&Item> {
        self.index
            .get(&(kind, name.to_owned()))
            .map(|index| &self.items[*index])
    }

    pub(super) fn is_gone(&self, kind: Kind, name: &str) -> bool {
        self.gone
            .iter()
            .any(|(delete, _)| delete.kind == kind && delete.name == name)
    }

    /// An application after the change: its id and owner.
    pub(super) async fn application(
        &self,
        name: &str,
    ) -> ApiResult<Option<(ApplicationId, Links)>> {
        if let Some(item) = self.item(Kind::Application, name) {
            return Ok(Some((ApplicationId(item.id), links_of(&item.document))));
        }
        if self.is_gone(Kind::Application, name) {
            return Ok(None);
        }
        let present = self.present(RecordKind::Application, name).await?;
        Ok(present
            .filter(|present| self.may_see(RecordKind::Application, &present.links))
            .map(|present| (ApplicationId(present.id), present.links)))
    }

    /// Whether there is an application after the change, whoever has it.
    pub(super) async fn has_application(&self, name: &str) -> ApiResult<bool> {
        if self.item(Kind::Application, name).is_some() {
            return Ok(true);
        }
        let gone = self.is_gone(Kind::Application, name);
        Ok(!gone && self.present(RecordKind::Application, name).await?.is_some())
    }

    /// The batch.
    pub(super) fn finish(self) -> ApiResult<Prepared> {
        let warnings = self.faults.into_result()?;
        let mut writes = Vec::new();
        let mut deletes: Vec<&Delete> = self.gone.iter().map(|(delete, _)| delete).collect();
        // Those that refer to others go first.
        deletes.sort_by_key(|delete| std::cmp::Reverse(rank(delete.kind)));
        let with_application = |present: &Present| {
            self.gone.iter().any(|(delete, owner)| {
                delete.kind == Kind::Application
                    && present.links.application == Some(ApplicationId(owner.id))
            })
        };
        for subscription in self.taken_along.iter().filter(|old| !with_application(old)) {
            writes.push(Write::RecordDelete {
                kind: RecordKind::Subscription,
                name: subscription.document.name().to_owned(),
                expect: Expect::Revision(subscription.revision),
            });
        }
        for delete in deletes {
            writes.push(Write::RecordDelete {
                kind: record_kind(delete.kind),
                name: delete.name.clone(),
                expect: Expect::Any,
            });
        }
        let mut puts: Vec<&Item> = self.items.iter().filter(|item| !item.unchanged()).collect();
        puts.sort_by_key(|item| rank(item.document.kind()));
        for item in puts {
            write_put(item, &mut writes);
        }
        let mut outcomes: Vec<Outcome> = self.items.into_iter().map(put_outcome).collect();
        let gone = self.gone.into_iter().map(|(_, present)| present);
        outcomes.extend(self.taken_along.into_iter().chain(gone).map(deleted));
        Ok(Prepared {
            writes,
            outcomes,
            warnings,
        })
    }
}

/// Where a kind stands among [`Kind::ALL`]: behind those that it refers to.
fn rank(kind: Kind) -> usize {
    Kind::ALL
        .iter()
        .position(|other| *other == kind)
        .unwrap_or(usize::MAX)
}

fn put_outcome(item: Item) -> Outcome {
    let action = item.action();
    let before = item.present;
    Outcome {
        kind: item.document.kind(),
        name: item.document.name().to_owned(),
        file: item.source.file().map(str::to_owned),
        action,
        definition_changed: before.as_ref().is_some_and(|old| old.blob != item.blob),
        before: before.map(|old| old.document),
        after: Some(item.document),
    }
}

fn deleted(present: Present) -> Outcome {
    Outcome {
        kind: present.document.kind(),
        name: present.document.name().to_owned(),
        file: None,
        action: api::Action::Deleted,
        definition_changed: false,
        before: Some(present.document),
        after: None,
    }
}

/// What queries go by: the owner of an application.
pub(super) fn links_of(document: &Document) -> Links {
    match &document.spec {
        Spec::Application(application) => Links {
            owner: application.owner.clone(),
            ..Links::default()
        },
        _ => Links::default(),
    }
}
