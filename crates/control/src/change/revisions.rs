//! What a change means for the revisions of an API: which one it makes, and whether those that are served can be.

use base::{Diagnostic, Diagnostics, Digest};
use serde_json::Value;
use spec::{Deployment, Kind};

use super::definition_text;
use super::work::{Item, Work};
use crate::catalogue::{Content, Held, Pinned, pinned};
use crate::http::ApiResult;

/// The revision that an API is after a change: a new one, or the newest if that has the same content.
pub(super) struct Made {
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) content: Value,
}

impl Work<'_> {
    /// The revision that a put makes.
    pub(super) async fn made(&self, item: &Item) -> ApiResult<Option<Made>> {
        if item.document.kind() != Kind::Api {
            return Ok(None);
        }
        let content = spec::content(&item.document);
        let digest = spec::content_digest(&content, item.blob.as_ref());
        let (org, name) = (&self.caller.org, item.document.name());
        let store = self.control.store();
        let newest = store.api_revision_list(org, name, None, 1).await?.pop();
        let number = match newest {
            Some(newest) if newest.digest == digest => newest.number,
            Some(newest) => newest.number + 1,
            None => 1,
        };
        Ok(Some(Made {
            number,
            digest,
            content,
        }))
    }

    /// The document of a put as the catalogue holds it. A deployment may name the revision that the put itself makes.
    pub(super) async fn held(&self, item: &Item) -> ApiResult<Held> {
        let document = &item.document;
        let mut pinned = pinned(self.control.store(), &self.caller.org, document).await?;
        let own = pinned.iter_mut().filter(|pinned| is_made(item, pinned));
        for (pinned, api) in own.filter_map(|pinned| Some((pinned, document.as_api()?))) {
            pinned.content = Some(Content {
                document: document.clone().placed(api, &api.deployments[pinned.index]),
                blob: item.blob,
            });
        }
        Ok(Held {
            document: document.clone(),
            blob: item.blob,
            pinned,
        })
    }

    /// Whether every revision that a gateway is to serve is there and can be served.
    ///
    /// One that was served there before is no hindrance to a change of something else: it is broken alone.
    pub(super) async fn check_pinned(
        &self,
        item: &Item,
        world: &compile::World,
    ) -> ApiResult<Diagnostics> {
        let mut found = Diagnostics::default();
        let Some(held) = self.after.get(Kind::Api, item.document.name()) else {
            return Ok(found);
        };
        for pinned in held.pinned.iter().filter(|pinned| !is_made(item, pinned)) {
            let pointer = format!("/spec/deployments/{}/revision", pinned.index);
            let Some(content) = &pinned.content else {
                found.push(unknown(item, pinned.number, pointer));
                continue;
            };
            let store = self.control.store();
            let text = definition_text(store, &content.document, content.blob).await?;
            let (org, now) = (&self.caller.org, self.control.clock().unix_s());
            let Err(problems) = compile::check_stored(org, &content.document, &text, now, world)
            else {
                continue;
            };
            let severe = !deployed_before(item, pinned);
            found.extend(problems.into_iter().filter(is_error).map(|problem| {
                let message = format!("revision {}: {}", pinned.number, problem.message);
                if severe {
                    Diagnostic::error(&problem.rule, pointer.clone(), message)
                } else {
                    Diagnostic::warning(&problem.rule, pointer.clone(), message)
                }
                .mend("deploy another revision, or bring back what this one needs")
            }));
        }
        Ok(found)
    }
}

fn is_error(problem: &Diagnostic) -> bool {
    problem.severity == base::Severity::Error
}

fn is_made(item: &Item, pinned: &Pinned) -> bool {
    let made = item.made.as_ref();
    made.is_some_and(|made| made.number == pinned.number)
}

fn unknown(item: &Item, number: u64, pointer: String) -> Diagnostic {
    let newest = item.made.as_ref().map_or(0, |made| made.number);
    let name = item.document.name();
    let message = format!("`{name}` has no revision {number}, its newest is {newest}");
    Diagnostic::error("unknown-revision", pointer, message).mend(format!(
        "`tollway api revisions {name}` lists them; `latest` is the newest, whatever it is"
    ))
}

/// Whether the same revision is served by the same gateway already.
fn deployed_before(item: &Item, pinned: &Pinned) -> bool {
    let deployments = |document: &spec::Document| -> Vec<Deployment> {
        let api = document.as_api();
        api.map(|api| api.deployments.clone()).unwrap_or_default()
    };
    let wanted = deployments(&item.document);
    let before = item.present.as_ref().map(|old| deployments(&old.document));
    before.unwrap_or_default().iter().any(|before| {
        before.gateway == wanted[pinned.index].gateway
            && before.revision.number() == Some(pinned.number)
    })
}
