//! Subscriptions: who may have them, and which there are after the change.

use base::code;
use spec::{ApiSpec, Kind, Spec, SubscriptionSpec};
use store::record::Links;
use store::{Filter, RecordKind};

use super::Fault;
use super::check::unknown;
use super::work::{Item, Work};
use crate::http::ApiResult;

impl Work<'_> {
    /// Checks a subscription and finds out what it links.
    pub(super) async fn check_subscription(&mut self, index: usize) -> ApiResult<()> {
        let Spec::Subscription(spec) = self.items[index].document.spec.clone() else {
            return Ok(());
        };
        let mut faults = Vec::new();
        let application = self.application(&spec.application).await?;
        if application.is_none() {
            let what = format!("Application `{}`", spec.application);
            faults.push(unknown("/spec/application", &what));
        }
        let api = self.after.api_called(&spec.api.name, &spec.api.version);
        let api = api.map(|(name, api)| (name.to_owned(), api.clone()));
        match &api {
            None => {
                let what = format!("API {}:{}", spec.api.name, spec.api.version);
                faults.push(unknown("/spec/api", &what));
            }
            Some((name, api)) => {
                faults.extend(self.state_fault(&self.items[index], name, api));
                faults.extend(self.plan_fault(&spec, api));
            }
        }
        if let (Some((application, _)), Some((api, _))) = (&application, &api) {
            let links = Links {
                owner: None,
                application: Some(*application),
                api: Some(api.clone()),
                plan: Some(spec.plan.clone()),
            };
            faults.extend(self.second_fault(&self.items[index], &links, &spec).await?);
            self.items[index].links = links;
        }
        for fault in faults {
            self.faults.push(&self.items[index].source, fault);
        }
        Ok(())
    }

    /// Only a published API takes new subscriptions. One that is made by the same change comes with those it had:
    /// that is how an export is restored.
    fn state_fault(&self, item: &Item, name: &str, api: &ApiSpec) -> Option<Fault> {
        let had = item
            .present
            .as_ref()
            .is_some_and(|old| old.links.api.as_deref() == Some(name));
        let restored = self
            .item(Kind::Api, name)
            .is_some_and(|api| api.present.is_none());
        if had || restored || api.lifecycle.takes_subscriptions() {
            return None;
        }
        Some(Fault::against(
            code::CONFLICT,
            "no-new-subscriptions",
            "/spec/api",
            format!(
                "{}:{} is {}; only a Published API takes new subscriptions",
                api.name, api.version, api.lifecycle
            ),
        ))
    }

    fn plan_fault(&self, spec: &SubscriptionSpec, api: &ApiSpec) -> Option<Fault> {
        if !api.plans.contains(&spec.plan) {
            let offered = if api.plans.is_empty() {
                "it offers none".to_owned()
            } else {
                format!("it offers {}", api.plans.join(", "))
            };
            let what = format!(
                "plan `{}` at {}:{}",
                spec.plan, spec.api.name, spec.api.version
            );
            return Some(unknown("/spec/plan", &what).mend(offered));
        }
        let there = self.after.get(Kind::Plan, &spec.plan).is_some();
        (!there).then(|| unknown("/spec/plan", &format!("Plan `{}`", spec.plan)))
    }

    /// One application has one subscription to an API: else nobody could say which plan counts.
    async fn second_fault(
        &self,
        item: &Item,
        links: &Links,
        spec: &SubscriptionSpec,
    ) -> ApiResult<Option<Fault>> {
        let Some(api) = &links.api else {
            return Ok(None);
        };
        let me = item.document.name();
        let other = self
            .subscriptions_to(api)
            .await?
            .into_iter()
            .find(|(name, other)| name != me && other.application == links.application);
        Ok(other.map(|(name, _)| {
            Fault::against(
                code::CONFLICT,
                "subscribed-already",
                "/spec/api",
                format!(
                    "the application `{}` is subscribed to {}:{} already, by `{name}`",
                    spec.application, spec.api.name, spec.api.version
                ),
            )
        }))
    }

    /// The subscriptions to an API after the change, as far as it is checked.
    pub(super) async fn subscriptions_to(&self, api: &str) -> ApiResult<Vec<(String, Links)>> {
        let filter = Filter {
            api: Some(api.to_owned()),
            ..Filter::default()
        };
        let mut found = self.remaining_subscriptions(&filter).await?;
        found.extend(
            self.items
                .iter()
                .filter(|item| item.links.api.as_deref() == Some(api))
                .map(|item| (item.document.name().to_owned(), item.links.clone())),
        );
        Ok(found)
    }

    /// Stored subscriptions that the change leaves as they are.
    pub(super) async fn remaining_subscriptions(
        &self,
        filter: &Filter,
    ) -> ApiResult<Vec<(String, Links)>> {
        let stored = self.stored(RecordKind::Subscription, filter).await?;
        Ok(stored
            .into_iter()
            .filter(|record| {
                let replaced = self
                    .item(Kind::Subscription, &record.name)
                    .is_some_and(|item| !item.unchanged());
                !replaced && !self.is_gone(Kind::Subscription, &record.name)
            })
            .map(|record| (record.name, record.links))
            .collect())
    }
}
