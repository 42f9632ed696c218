//! The first start: documents that every platform begins with.

use base::{Clock, Org};
use spec::{Document, Duration, GatewaySpec, PlanSpec, Quota, Spec};
use store::record::Links;
use store::{Batch, Expect, Filter, Page, RecordKind, Store, StoreError, Write};

use crate::catalogue::record_kind;

/// The plans of the first start: requests per minute, none = unlimited.
const PLANS: [(&str, Option<u64>); 4] = [
    ("Unlimited", None),
    ("Gold", Some(5000)),
    ("Silver", Some(2000)),
    ("Bronze", Some(1000)),
];

/// Makes the gateway `default` and the plans Unlimited, Gold, Silver and Bronze, when the organisation `default` has
/// neither a gateway nor a plan. Whether it did.
///
/// # Errors
/// The store's; nothing was stored then.
pub async fn bootstrap(store: &dyn Store, clock: &dyn Clock) -> Result<bool, StoreError> {
    let org = Org::default_org();
    let one = Page {
        after: None,
        limit: 1,
    };
    for kind in [RecordKind::Gateway, RecordKind::Plan] {
        let there = store
            .record_list(&org, kind, &Filter::default(), &one)
            .await?;
        if !there.is_empty() {
            return Ok(false);
        }
    }
    let gateway = Document::new("default", Spec::Gateway(GatewaySpec::default()));
    let plans = PLANS.map(|(name, per_minute)| {
        let quota = per_minute.map(|requests| Quota::new(requests, Duration::from_s(60)));
        let plan = PlanSpec {
            quota,
            ..PlanSpec::default()
        };
        Document::new(name, Spec::Plan(plan))
    });
    let writes = std::iter::once(gateway)
        .chain(plans)
        .map(|document| Write::RecordPut {
            kind: record_kind(document.kind()),
            name: document.name().to_owned(),
            new_id: uuid::Uuid::now_v7(),
            document: document.to_json(),
            digest: document.digest(),
            blob: None,
            links: Links::default(),
            expect: Expect::Absent,
        })
        .collect();
    let batch = Batch {
        org,
        actor: crate::SYSTEM.to_owned(),
        at_unix_ms: clock.unix_ms(),
        request: None,
        writes,
    };
    match store.commit(batch).await {
        Ok(_) => Ok(true),
        // Another process was first.
        Err(StoreError::Exists(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
