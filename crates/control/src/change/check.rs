//! Whether what is wanted holds together: references, the life cycle, `compile`, names and mounts.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Diagnostic, Diagnostics, code};
use spec::{ApiSpec, Document, Kind, Lifecycle};
use store::{Filter, RecordKind};

use super::work::{Present, Work};
use super::{Fault, definition_text, mounts};
use crate::http::ApiResult;

/// Names shown of those that stand in the way; the number of all is told too.
const NAMES_SHOWN: usize = 10;

impl Work<'_> {
    /// Checks everything that differs, and everything that refers to what goes.
    pub(super) async fn check(&mut self) -> ApiResult<()> {
        let world = self.after.world();
        for index in 0..self.items.len() {
            if self.items[index].unchanged() {
                continue;
            }
            match self.items[index].document.kind() {
                Kind::Api => self.check_api(index, &world).await?,
                Kind::Backend => self.check_backend(index, &world),
                Kind::Subscription => self.check_subscription(index).await?,
                Kind::Application => {
                    let item = &mut self.items[index];
                    item.links = super::work::links_of(&item.document);
                }
                Kind::DenyRule => {
                    let item = &self.items[index];
                    let problems = compile::deny_faults(&item.document);
                    self.faults.extend(&item.source, problems);
                }
                Kind::TokenIssuer => self.check_issuer(index).await?,
                Kind::Plan | Kind::Gateway => {}
            }
        }
        mounts::check(self).await?;
        for index in 0..self.gone.len() {
            self.check_gone(index).await?;
        }
        Ok(())
    }

    async fn check_api(&mut self, index: usize, world: &compile::World) -> ApiResult<()> {
        let item = &self.items[index];
        let Some(api) = item.document.as_api() else {
            return Ok(());
        };
        let mut faults: Vec<Fault> = lifecycle_fault(item.present.as_ref(), api)
            .into_iter()
            .chain(self.name_fault(item.document.name(), api))
            .collect();
        faults.extend(self.subscribers_fault(item.present.as_ref(), api).await?);
        faults.extend(self.callers_faults(item.present.as_ref(), api).await?);
        let mut problems = self.compile(index, world).await?;
        let item = &self.items[index];
        problems.extend(compile::issuer_references(&item.document, world));
        for fault in faults {
            self.faults.push(&item.source, fault);
        }
        self.faults.extend(&item.source, problems);
        Ok(())
    }

    /// Runs all that the nodes will run, on all that they will serve.
    async fn compile(&self, index: usize, world: &compile::World) -> ApiResult<Diagnostics> {
        let item = &self.items[index];
        let mut problems = self.check_pinned(item, world).await?;
        let text = match &item.definition {
            Some(text) => Arc::clone(text),
            // Without the text there is nothing to compile; that it is missing is told already.
            None if item.blob.is_some() || is_inline(&item.document) => {
                definition_text(self.control.store(), &item.document, item.blob).await?
            }
            None => return Ok(problems),
        };
        let (org, now) = (&self.caller.org, self.control.clock().unix_s());
        let checked = if item.accepted_before() {
            compile::check_stored(org, &item.document, &text, now, world)
        } else {
            let limits = &self.control.config().definition_limits;
            compile::check_within(org, &item.document, &text, now, world, limits)
        };
        match checked {
            Ok(reduced) => problems.extend(reduced.warnings),
            Err(found) => problems.extend(found),
        }
        Ok(problems)
    }

    fn check_backend(&mut self, index: usize, world: &compile::World) {
        let item = &self.items[index];
        let mut problems = compile::backend_references(&item.document, world);
        let built = compile::reduce_backend(&self.caller.org, &item.document)
            .map(|model| compile::build_backend(&model));
        problems.extend(built.and_then(Result::err).into_iter().flatten());
        self.faults.extend(&item.source, problems);
    }

    async fn check_issuer(&mut self, index: usize) -> ApiResult<()> {
        let item = &self.items[index];
        let problems = compile::check_issuer(&item.document);
        let named = match &item.document.spec {
            spec::Spec::TokenIssuer(issuer) => issuer.application.clone(),
            _ => None,
        };
        self.faults.extend(&self.items[index].source, problems);
        if let Some(name) = named
            && self.application(&name).await?.is_none()
        {
            let fault = unknown("/spec/application", &format!("Application `{name}`"));
            self.faults.push(&self.items[index].source, fault);
        }
        Ok(())
    }

    /// Callers by password or certificate call for applications that are there. One that the document has named before is
    /// let be: an application may go, and takes such callers along.
    async fn callers_faults(
        &self,
        present: Option<&Present>,
        api: &ApiSpec,
    ) -> ApiResult<Vec<Fault>> {
        let before = present.and_then(|present| present.document.as_api());
        let before: BTreeSet<&str> = before
            .into_iter()
            .flat_map(ApiSpec::application_names)
            .map(|(name, _)| name)
            .collect();
        let mut faults = Vec::new();
        for (name, pointer) in api.application_names() {
            if !before.contains(name) && !self.has_application(name).await? {
                faults.push(unknown(&pointer, &format!("Application `{name}`")));
            }
        }
        Ok(faults)
    }

    /// (name, version) is what people say and what subscriptions refer to: one document each.
    fn name_fault(&self, name: &str, api: &ApiSpec) -> Option<Fault> {
        let other = self.after.apis().find(|(other, spec)| {
            *other != name && spec.name == api.name && spec.version == api.version
        })?;
        Some(Fault::against(
            code::CONFLICT,
            "duplicate-version",
            "/spec/version",
            format!(
                "{}:{} is there already, as the document `{}`",
                api.name, api.version, other.0
            ),
        ))
    }

    /// Subscriptions keep what they refer to: the API's name and version, and their plan.
    async fn subscribers_fault(
        &self,
        present: Option<&Present>,
        api: &ApiSpec,
    ) -> ApiResult<Vec<Fault>> {
        let Some(old) = present.and_then(|old| Some((old, old.document.as_api()?))) else {
            return Ok(Vec::new());
        };
        let (present, old) = old;
        let renamed = old.name != api.name || old.version != api.version;
        let plan_goes = old.plans.iter().any(|plan| !api.plans.contains(plan));
        if !renamed && !plan_goes {
            return Ok(Vec::new());
        }
        let subscriptions = self.subscriptions_to(present.document.name()).await?;
        let mut faults = Vec::new();
        if renamed && !subscriptions.is_empty() {
            let names = subscriptions.iter().map(|(name, _)| name.as_str());
            faults.push(in_use(
                "/spec/name",
                &format!("{}:{}", old.name, old.version),
                "Subscription",
                names,
            ));
        }
        for plan in old.plans.iter().filter(|plan| !api.plans.contains(plan)) {
            let users: Vec<&str> = subscriptions
                .iter()
                .filter(|(_, links)| links.plan.as_ref() == Some(plan))
                .map(|(name, _)| name.as_str())
                .collect();
            if !users.is_empty() {
                let what = format!("the plan `{plan}` of this API");
                faults.push(in_use(
                    "/spec/plans",
                    &what,
                    "Subscription",
                    users.into_iter(),
                ));
            }
        }
        Ok(faults)
    }

    /// Nothing may refer to what goes.
    async fn check_gone(&mut self, index: usize) -> ApiResult<()> {
        let (delete, present) = &self.gone[index];
        let (kind, name) = (delete.kind, delete.name.clone());
        let what = format!("{kind} `{name}`");
        let fault = match kind {
            Kind::Gateway => self.referring(kind, &name, &what),
            Kind::Backend => self
                .referring(kind, &name, &what)
                .or_else(|| self.taking_over(&name, &what)),
            Kind::Plan => match self.referring(kind, &name, &what) {
                Some(fault) => Some(fault),
                None => self.plan_users(&name, &what).await?,
            },
            Kind::Api => {
                let cascade = delete.cascade;
                let subscriptions = self.subscriptions_to(&name).await?;
                if cascade {
                    self.take_along(subscriptions).await?;
                    None
                } else {
                    let names = subscriptions.iter().map(|(name, _)| name.as_str());
                    in_use_by("", &what, "Subscription", names)
                        .map(|fault| fault.mend("delete them first, or with it by `cascade=true`"))
                }
            }
            Kind::TokenIssuer => match self.referring(kind, &name, &what) {
                Some(fault) => Some(fault),
                None => self.clients_of(&name, &what).await?,
            },
            Kind::Application => {
                let filter = Filter {
                    application: Some(present.document.name().to_owned()),
                    ..Filter::default()
                };
                let subscriptions = self.remaining_subscriptions(&filter).await?;
                // Those that the same change wants to keep cannot go along.
                let (kept, gone): (Vec<_>, Vec<_>) = subscriptions
                    .into_iter()
                    .partition(|(name, _)| self.item(Kind::Subscription, name).is_some());
                self.take_along(gone).await?;
                let names = kept.iter().map(|(name, _)| name.as_str());
                in_use_by("", &what, "Subscription", names).or_else(|| {
                    let issuers = self.after.issuers();
                    let users = issuers
                        .filter(|(_, issuer)| issuer.application.as_ref() == Some(&name))
                        .map(|(user, _)| user);
                    in_use_by("", &what, "TokenIssuer", users)
                })
            }
            Kind::Subscription | Kind::DenyRule => None,
        };
        if let Some(fault) = fault {
            self.faults.push(&Default::default(), fault);
        }
        Ok(())
    }

    /// The APIs that refer to a backend, gateway or plan, by what they are or by a revision that is served.
    fn referring(&self, kind: Kind, name: &str, what: &str) -> Option<Fault> {
        // Each once, also if several of its revisions do.
        let users: BTreeSet<&str> = self
            .after
            .served()
            .filter(|(_, api)| refers(api, kind, name))
            .map(|(user, _)| user)
            .collect();
        in_use_by("", what, "Api", users.into_iter())
    }

    /// The backends that a backend takes over from.
    fn taking_over(&self, name: &str, what: &str) -> Option<Fault> {
        let users = self.after.backends().filter(|(_, backend)| {
            let named = |(_, other): (String, &str)| other == name;
            backend.failover_names().any(named)
        });
        in_use_by("", what, "Backend", users.map(|(user, _)| user))
    }

    /// The clients that are registered for an issuer: one of another time and the same name would take them over.
    async fn clients_of(&self, issuer: &str, what: &str) -> ApiResult<Option<Fault>> {
        let all = self.control.store().credential_list(None).await?;
        let clients = all
            .iter()
            .filter(|credential| credential.org == self.caller.org);
        let users = clients
            .filter_map(store::Credential::client)
            .filter(|client| client.issuer == issuer)
            .map(|client| client.client_id.as_str());
        Ok(in_use_by("", what, "client", users))
    }

    async fn plan_users(&self, plan: &str, what: &str) -> ApiResult<Option<Fault>> {
        let subscriptions = self.remaining_subscriptions(&Filter::default()).await?;
        let users = subscriptions
            .iter()
            .filter(|(_, links)| links.plan.as_deref() == Some(plan))
            .map(|(name, _)| name.as_str());
        Ok(in_use_by("", what, "Subscription", users))
    }

    /// Deletes subscriptions together with what they belong to.
    async fn take_along(
        &mut self,
        subscriptions: Vec<(String, store::record::Links)>,
    ) -> ApiResult<()> {
        for (name, _) in subscriptions {
            if let Some(present) = self.present(RecordKind::Subscription, &name).await? {
                self.taken_along.push(present);
            }
        }
        Ok(())
    }
}

fn is_inline(document: &Document) -> bool {
    document
        .as_api()
        .is_some_and(|api| matches!(api.definition.at, spec::Definition::Inline(_)))
}

fn refers(api: &ApiSpec, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Backend => api.backend_names().any(|(other, _)| other == name),
        Kind::Gateway => api
            .deployments
            .iter()
            .any(|deployment| deployment.gateway == name),
        Kind::Plan => api.plans.iter().any(|plan| plan == name),
        Kind::TokenIssuer => api.issuer_names().any(|(other, _)| other == name),
        Kind::Api | Kind::Application | Kind::Subscription | Kind::DenyRule => false,
    }
}

/// A stored API changes its state by the allowed ways only; a new one may begin in any.
fn lifecycle_fault(present: Option<&Present>, api: &ApiSpec) -> Option<Fault> {
    let from = present?.document.as_api()?.lifecycle;
    let to = api.lifecycle;
    if from == to || from.can_become(to) {
        return None;
    }
    Some(Fault::against(
        code::TRANSITION_NOT_ALLOWED,
        "lifecycle-transition",
        "/spec/lifecycle",
        format!("{from} cannot become {to}; {}", ways(from)),
    ))
}

/// The states that an API may go to.
fn ways(from: Lifecycle) -> String {
    let ways: Vec<&str> = from.transitions().iter().map(|to| to.as_str()).collect();
    if ways.is_empty() {
        return format!("{from} is the end");
    }
    format!("from {from} it may become {}", ways.join(" or "))
}

fn in_use<'n>(
    pointer: &str,
    what: &str,
    kind: &str,
    names: impl Iterator<Item = &'n str>,
) -> Fault {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let count = names.len();
    names.truncate(NAMES_SHOWN);
    let more = if count > NAMES_SHOWN { ", …" } else { "" };
    Fault::against(
        code::IN_USE,
        "in-use",
        pointer,
        format!(
            "{what} is in use by {count} {kind}: {}{more}",
            names.join(", ")
        ),
    )
}

fn in_use_by<'n>(
    pointer: &str,
    what: &str,
    kind: &str,
    names: impl Iterator<Item = &'n str>,
) -> Option<Fault> {
    let mut names = names.peekable();
    names.peek()?;
    Some(in_use(pointer, what, kind, names))
}

/// A document refers to something that is not there.
pub(super) fn unknown(pointer: &str, what: &str) -> Fault {
    Fault::invalid(Diagnostic::error(
        "unknown-reference",
        pointer,
        format!("there is no {what}"),
    ))
}
