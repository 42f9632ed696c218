//! The public keys of clients: registered, or fetched from where the client publishes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetch::{Fetched, Fetcher};
use jose::{Algorithm, KeySet, KeySetRules};
use store::ClientMetadata;
use tokio::sync::Mutex as AsyncMutex;
use url::Url;

/// How long fetched keys are used without looking again, in seconds.
const FRESH_S: u64 = 300;
/// How long they are used when they cannot be fetched again, in seconds.
const STALE_S: u64 = 3600;
/// How far apart two fetches of one URL are at least, in seconds, whoever asks.
const APART_S: u64 = 10;
/// URLs whose keys are kept at a time.
const URLS_MAX: usize = 1024;
/// The longest key set, in bytes.
const BYTES_MAX: usize = 128 * 1024;
/// How long a fetch may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of clients. URLs are fetched by the guarded client (req: S7), one at a time each.
pub(crate) struct ClientKeys {
    fetcher: Fetcher,
    known: Mutex<HashMap<String, Arc<AsyncMutex<Known>>>>,
}

#[derive(Default)]
struct Known {
    keys: Arc<KeySet>,
    /// When the keys were fetched.
    fetched_unix_s: Option<u64>,
    /// When that was tried last.
    tried_unix_s: Option<u64>,
}

impl ClientKeys {
    pub(crate) fn new(fetcher: Fetcher) -> Self {
        Self {
            fetcher,
            known: Mutex::default(),
        }
    }

    /// The keys of a client; none where there are none to be had.
    pub(crate) async fn of(&self, metadata: &ClientMetadata, now_unix_s: u64) -> Arc<KeySet> {
        if let Some(jwks) = &metadata.jwks {
            return Arc::new(read(&jwks.to_string()).unwrap_or_default());
        }
        let Some(url) = &metadata.jwks_uri else {
            return Arc::default();
        };
        let known = self.known(url);
        let mut known = known.lock().await;
        let age = |at: Option<u64>| at.map_or(u64::MAX, |at| now_unix_s.saturating_sub(at));
        if age(known.fetched_unix_s) >= FRESH_S {
            self.fetch(url, &mut known, now_unix_s).await;
        }
        if age(known.fetched_unix_s) > STALE_S {
            return Arc::default();
        }
        Arc::clone(&known.keys)
    }

    /// Keys that are newer than those of [`ClientKeys::of`]; `None` when they cannot be, or were fetched a moment ago.
    pub(crate) async fn newer(
        &self,
        metadata: &ClientMetadata,
        now_unix_s: u64,
    ) -> Option<Arc<KeySet>> {
        let url = metadata
            .jwks_uri
            .as_ref()
            .filter(|_| metadata.jwks.is_none())?;
        let known = self.known(url);
        let mut known = known.lock().await;
        self.fetch(url, &mut known, now_unix_s)
            .await
            .then(|| Arc::clone(&known.keys))
    }

    fn known(&self, url: &str) -> Arc<AsyncMutex<Known>> {
        let mut all = self.known.lock().expect("nothing panics under the lock");
        if !all.contains_key(url) && all.len() >= URLS_MAX {
            // Whichever: what is needed again is fetched again.
            if let Some(one) = all.keys().next().cloned() {
                all.remove(&one);
            }
        }
        Arc::clone(all.entry(url.to_owned()).or_default())
    }

    /// Whether there are newly fetched keys now.
    async fn fetch(&self, url: &str, known: &mut Known, now_unix_s: u64) -> bool {
        let again = known
            .tried_unix_s
            .is_some_and(|tried| now_unix_s.saturating_sub(tried) < APART_S);
        if again {
            return false;
        }
        known.tried_unix_s = Some(now_unix_s);
        let fetched = match url.parse() {
            Ok(parsed) => self.get(&parsed).await,
            Err(_) => return false,
        };
        let keys = fetched.and_then(|fetched| {
            let text = String::from_utf8(fetched.body);
            let text = text.map_err(|_| "the keys are not UTF-8".to_owned())?;
            read(&text).map_err(|error| error.to_string())
        });
        match keys {
            Ok(keys) => {
                known.keys = Arc::new(keys);
                known.fetched_unix_s = Some(now_unix_s);
                true
            }
            Err(cause) => {
                tracing::warn!(url, cause, "the keys of a client cannot be fetched");
                false
            }
        }
    }

    async fn get(&self, url: &Url) -> Result<Fetched, String> {
        let origin = url.origin();
        let fetching = self.fetcher.get_within(url, &origin, BYTES_MAX);
        match tokio::time::timeout(TIMEOUT, fetching).await {
            Ok(fetched) => fetched.map_err(|error| error.to_string()),
            Err(_) => Err("nothing came in time".to_owned()),
        }
    }
}

/// Keys that do not say their algorithm: RSA keys are for RS256, as OpenID Connect has it.
fn read(text: &str) -> Result<KeySet, jose::KeyError> {
    let rules = KeySetRules {
        rsa_alg: Some(Algorithm::Rs256),
        ..KeySetRules::default()
    };
    KeySet::from_json(text, &rules)
}
