//! Issuers outside of the platform, as this node deals with them: their keys are fetched and kept, and they are asked what tokens stand
//! for.
//!
//! All of it happens here once for all cores, on the feed's threads; a core that asks only waits, bounded in number and in time. The
//! URLs come from documents: they are fetched by the guarded client alone (req: S7), and in clear text only where whoever
//! runs the platform allows the host. What a token says of keys or URLs is never looked at.

mod counts;
mod introspection;
mod kept;
mod keys;
mod limits;
mod metadata;
mod secret;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Org};
use fetch::Fetcher;
use policy::{Asking, Introspected, NotAnswered};
use sync::issuer::KeySource;
use sync::{Change, ControlPlane, IssuerModel, IssuerReport, Node, OutsideModel, ResourceKey};
use tokio::runtime::Handle;
use url::Url;

use crate::directory::NodeDirectory;
use crate::last_good::Vault;
use crate::telling;
use counts::Counts;
use introspection::Introspector;
use kept::Kept;
use keys::Fetching;
use limits::Limit;
pub use limits::Limits;
use metadata::Places;

/// What a node needs to deal with issuers.
#[derive(Clone)]
pub struct Settings {
    /// Fetches what documents name.
    pub fetcher: Fetcher,
    /// Where fetched keys are kept, so that a node that starts serves without the issuer.
    pub folder: PathBuf,
    /// What seals them: who could change them could sign tokens.
    pub vault: Arc<dyn Vault>,
    /// The folder of secrets that documents refer to.
    pub secrets_dir: PathBuf,
    /// How much is asked of each issuer.
    pub limits: Limits,
}

/// Handle on all issuers outside of the platform. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Issuers(Arc<Inner>);

struct Inner {
    settings: Settings,
    directory: Arc<NodeDirectory>,
    clock: Arc<dyn Clock>,
    handle: Handle,
    kept: Kept,
    known: Mutex<HashMap<ResourceKey, Arc<Known>>>,
    counts: Arc<Counts>,
}

/// One issuer.
struct Known {
    model: Arc<IssuerModel>,
    fetching: Option<Arc<Fetching>>,
    introspector: Option<Arc<Introspector>>,
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(fetching) = &self.fetching {
            fetching.stop();
        }
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").finish_non_exhaustive()
    }
}

/// A URL is not asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum UrlFault {
    #[error("`{0}` is no URL")]
    NoUrl(String),
    #[error("{0} is not fetched in clear text: use https, or name its host in --outbound-allow")]
    ClearText(String),
}

/// A URL of a document or of an issuer's metadata, if it may be asked for what tokens are believed by.
fn checked(fetcher: &Fetcher, text: &str) -> Result<Url, UrlFault> {
    let url = Url::parse(text).map_err(|_| UrlFault::NoUrl(text.chars().take(200).collect()))?;
    if url.scheme() == "https" || fetcher.knows(&url) {
        return Ok(url);
    }
    Err(UrlFault::ClearText(url.into()))
}

impl Issuers {
    /// To be called on a thread of a runtime: everything runs there. Reads what was kept.
    #[must_use]
    pub fn start(settings: Settings, directory: Arc<NodeDirectory>, clock: Arc<dyn Clock>) -> Self {
        let kept = Kept::load(settings.folder.join("issuers"), Arc::clone(&settings.vault));
        let issuers = Self(Arc::new(Inner {
            kept,
            settings,
            directory,
            clock,
            handle: Handle::current(),
            known: Mutex::default(),
            counts: Arc::default(),
        }));
        issuers.0.directory.issuers_by(issuers.clone());
        issuers
    }

    /// Deals with what has changed. The directory has it already.
    pub(crate) fn apply(&self, changes: &[Change<Arc<IssuerModel>>], reset: bool) {
        let inner = &self.0;
        let mut known = inner.lock();
        if reset {
            let there = |key: &ResourceKey| {
                let mut changes = changes.iter();
                changes.any(|change| change.key == *key && change.model.is_some())
            };
            known.retain(|key, _| there(key));
        }
        for change in changes {
            let model = change.model.as_ref();
            let Some(model) = model.filter(|model| model.outside.is_some()) else {
                known.remove(&change.key);
                continue;
            };
            // An equal one keeps what it knows.
            if known
                .get(&change.key)
                .is_none_or(|known| known.model != *model)
            {
                let before = known.remove(&change.key);
                let fresh = inner.known(&change.key, model, before.as_deref());
                known.insert(change.key.clone(), Arc::new(fresh));
            }
        }
        inner.kept.keep_only(|key| known.contains_key(key));
    }

    /// Fetches the keys of an issuer again, unless that was done too often lately; returns when they are in force.
    pub(crate) fn newer_keys(&self, org: &Org, name: &str) -> Asking<()> {
        let Some(known) = self.known(org, name) else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let Some(fetching) = known.fetching.clone() else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let patience = Duration::from_millis(self.0.settings.limits.keys_wait_ms);
        let counts = Arc::clone(&self.0.counts);
        let waiting = self.0.handle.spawn(async move {
            let newer = tokio::time::timeout(patience, fetching.again()).await;
            newer.map_err(|_| {
                counts.hit(Limit::KeysWait);
                NotAnswered::Unavailable
            })
        });
        Box::pin(async move { waiting.await.unwrap_or(Err(NotAnswered::Unavailable)) })
    }

    /// Asks an issuer what a token stands for.
    pub(crate) fn introspect(
        &self,
        org: &Org,
        name: &str,
        token: &str,
    ) -> Asking<Option<Arc<Introspected>>> {
        let known = self.known(org, name);
        match known.and_then(|known| known.introspector.clone()) {
            Some(introspector) => introspector.ask(token, &self.0.handle),
            None => Box::pin(std::future::ready(Err(NotAnswered::Unavailable))),
        }
    }

    /// How they fare, in the order of their names.
    #[must_use]
    pub fn reports(&self) -> Vec<IssuerReport> {
        let mut reports: Vec<IssuerReport> = {
            let known = self.0.lock();
            let reports = known.iter();
            reports
                .map(|(key, known)| self.0.report(key, known))
                .collect()
        };
        reports.sort_by(|a, b| a.key.cmp(&b.key));
        reports
    }

    /// Tells the control plane how they fare, until it is dropped.
    pub async fn forward(self, plane: Arc<dyn ControlPlane>, node: Node) {
        let tell = |reports| {
            let (plane, node) = (Arc::clone(&plane), node.clone());
            async move { plane.issuers(&node, reports).await }
        };
        telling::changes("how token issuers fare", || self.reports(), tell).await;
    }

    fn known(&self, org: &Org, name: &str) -> Option<Arc<Known>> {
        let key = ResourceKey {
            org: org.clone(),
            name: name.to_owned(),
        };
        self.0.lock().get(&key).cloned()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceKey, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &ResourceKey, model: &Arc<IssuerModel>, before: Option<&Known>) -> Known {
        let outside = model.outside.as_deref().expect("looked at by the caller");
        let places = Arc::new(Places::new(
            &model.issuer,
            outside,
            self.settings.fetcher.clone(),
            self.settings.limits,
        ));
        let introspector = outside.introspection.as_ref().map(|introspection| {
            Arc::new(Introspector::new(
                introspection.clone(),
                model.issuer.clone(),
                Arc::clone(&places),
                &self.settings,
                Arc::clone(&self.clock),
                Arc::clone(&self.counts),
            ))
        });
        let fetching = needs_keys(outside).then(|| {
            let earlier = before
                .filter(|before| same_source(&before.model, model))
                .and_then(|before| before.fetching.as_ref()?.fetched())
                .or_else(|| self.kept.of(key, model, &self.settings.limits.key_rules()));
            Fetching::start(keys::Start {
                key: key.clone(),
                model: Arc::clone(model),
                places,
                limits: self.settings.limits,
                earlier,
                directory: Arc::clone(&self.directory),
                clock: Arc::clone(&self.clock),
                kept: self.kept.clone(),
                counts: Arc::clone(&self.counts),
                handle: &self.handle,
            })
        });
        Known {
            model: Arc::clone(model),
            fetching,
            introspector,
        }
    }

    fn report(&self, key: &ResourceKey, known: &Known) -> IssuerReport {
        use policy::Directory as _;
        let issuer = self.directory.issuer(&key.org, &key.name);
        let keys = issuer.iter().flat_map(|issuer| issuer.keys.keys());
        let (fetched_unix_ms, fault) = match &known.fetching {
            Some(fetching) => fetching.told(),
            None => (None, None),
        };
        let introspector = known.introspector.as_ref();
        IssuerReport {
            key: key.clone(),
            kids: keys.map(|key| key.kid().to_owned()).collect(),
            fetched_unix_ms,
            fault,
            introspection_fault: introspector.and_then(|introspector| introspector.fault()),
        }
    }
}

/// Whether its keys are fetched at all: of one whose tokens are all asked for they are of no use.
fn needs_keys(outside: &OutsideModel) -> bool {
    let all = outside.introspection.as_ref().is_some_and(|one| one.all);
    outside.keys != KeySource::Inline && !all
}

/// Whether the keys of one are those of the other too.
pub(crate) fn same_source(one: &IssuerModel, other: &IssuerModel) -> bool {
    let source = |model: &IssuerModel| model.outside.as_ref().map(|outside| outside.keys.clone());
    one.issuer == other.issuer && source(one) == source(other)
}
