//! Where an issuer's keys are, and where it is asked: from its document, or from its metadata.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fetch::{FetchError, Fetched, Fetcher};
use serde::Deserialize;
use sync::OutsideModel;
use sync::issuer::KeySource;
use url::Url;

use super::limits::{Limit, Limits};
use super::{UrlFault, checked};

/// Something of an issuer was not fetched.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Url(#[from] UrlFault),
    #[error("{url}: {cause}")]
    Fetch { url: String, cause: FetchError },
    #[error("{url}: no whole answer within {timeout_ms} ms (--gateway-issuer-fetch-timeout)")]
    Timeout { url: String, timeout_ms: u64 },
    #[error("{url}: {cause}")]
    Metadata { url: String, cause: String },
    #[error("{url} is the metadata of {found:?}, not of {expected:?}")]
    OtherIssuer {
        url: String,
        found: String,
        expected: String,
    },
    #[error("{url}: the metadata names no `{member}`")]
    Unnamed { url: String, member: &'static str },
    #[error("{url}: {cause}")]
    Keys { url: String, cause: String },
    #[error(
        "{url}: the set has {found} keys, at most {keys_max} are accepted (--gateway-issuer-keys-max)"
    )]
    TooManyKeys {
        url: String,
        found: usize,
        keys_max: usize,
    },
}

impl Fault {
    /// One word, for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Fetch { cause, .. } => cause.reason(),
            Self::Timeout { .. } => "timeout",
            Self::Metadata { .. } | Self::OtherIssuer { .. } | Self::Unnamed { .. } => "metadata",
            Self::Keys { .. } | Self::TooManyKeys { .. } => "keys",
        }
    }

    /// The limit that it is beyond.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Timeout { .. } => Some(Limit::FetchTimeout),
            Self::Fetch { cause, .. } => match cause {
                FetchError::Timeout(_) => Some(Limit::FetchTimeout),
                FetchError::TooLarge(_) => Some(Limit::KeysBytes),
                _ => None,
            },
            Self::TooManyKeys { .. } => Some(Limit::Keys),
            _ => None,
        }
    }
}

/// What is read of an issuer's metadata (OpenID Connect Discovery §3, RFC 8414 §2).
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Option<String>,
    introspection_endpoint: Option<String>,
}

/// Where things of an issuer are.
pub(super) struct Places {
    fetcher: Fetcher,
    limits: Limits,
    issuer: String,
    source: KeySource,
    endpoint: Option<String>,
    /// What the metadata said last, and where it was.
    found: Mutex<Option<(Url, Metadata)>>,
}

impl Places {
    pub(super) fn new(
        issuer: &str,
        outside: &OutsideModel,
        fetcher: Fetcher,
        limits: Limits,
    ) -> Self {
        let introspection = outside.introspection.as_ref();
        Self {
            fetcher,
            limits,
            issuer: issuer.to_owned(),
            source: outside.keys.clone(),
            endpoint: introspection.and_then(|introspection| introspection.endpoint.clone()),
            found: Mutex::default(),
        }
    }

    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Fetches the set of keys. With `anew` the metadata is looked at again; without, what it said before will do.
    pub(super) async fn keys(&self, anew: bool) -> Result<(Url, Fetched), Fault> {
        let url = match &self.source {
            KeySource::At(uri) => checked(&self.fetcher, uri)?,
            KeySource::Inline | KeySource::Discovery => {
                let (at, metadata) = self.metadata(anew).await?;
                named(&self.fetcher, at, metadata.jwks_uri.as_deref(), "jwks_uri")?
            }
        };
        let fetched = self.get(&url).await?;
        Ok((url, fetched))
    }

    /// Where the issuer is asked what a token stands for.
    pub(super) async fn introspection(&self) -> Result<Url, Fault> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(checked(&self.fetcher, endpoint)?);
        }
        let (at, metadata) = self.metadata(false).await?;
        let endpoint = metadata.introspection_endpoint.as_deref();
        named(&self.fetcher, at, endpoint, "introspection_endpoint")
    }

    async fn metadata(&self, anew: bool) -> Result<(Url, Metadata), Fault> {
        let known = {
            let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.clone()
        };
        if let Some(known) = known.filter(|_| !anew) {
            return Ok(known);
        }
        let found = self.discover().await?;
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(found.clone());
        Ok(found)
    }

    /// OpenID Connect has its metadata below the issuer, OAuth (RFC 8414 §3.1) between host and path.
    async fn discover(&self) -> Result<(Url, Metadata), Fault> {
        let issuer = checked(&self.fetcher, &self.issuer)?;
        let path = issuer.path().trim_end_matches('/');
        let mut oidc = issuer.clone();
        oidc.set_path(&format!("{path}/.well-known/openid-configuration"));
        let mut oauth = issuer.clone();
        oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        let (url, fetched) = match self.get(&oidc).await {
            Ok(fetched) => (oidc, fetched),
            Err(Fault::Fetch {
                cause: FetchError::Status(404),
                ..
            }) => {
                let fetched = self.get(&oauth).await?;
                (oauth, fetched)
            }
            Err(fault) => return Err(fault),
        };
        let metadata: Metadata = match serde_json::from_slice(&fetched.body) {
            Ok(metadata) => metadata,
            Err(error) => {
                let cause = error.to_string();
                return Err(Fault::Metadata {
                    url: url.into(),
                    cause,
                });
            }
        };
        // RFC 8414 §3.3: else another one could speak for this issuer.
        if metadata.issuer != self.issuer {
            return Err(Fault::OtherIssuer {
                url: url.into(),
                found: metadata.issuer.chars().take(200).collect(),
                expected: self.issuer.clone(),
            });
        }
        Ok((url, metadata))
    }

    async fn get(&self, url: &Url) -> Result<Fetched, Fault> {
        let origin = url.origin();
        let bytes_max = self.limits.keys_bytes_max;
        let getting = self.fetcher.get_within(url, &origin, bytes_max);
        let timeout_ms = self.limits.fetch_timeout_ms;
        match tokio::time::timeout(Duration::from_millis(timeout_ms), getting).await {
            Ok(fetched) => fetched.map_err(|cause| Fault::Fetch {
                url: url.to_string(),
                cause,
            }),
            Err(_) => Err(Fault::Timeout {
                url: url.to_string(),
                timeout_ms,
            }),
        }
    }
}

fn named(
    fetcher: &Fetcher,
    at: Url,
    url: Option<&str>,
    member: &'static str,
) -> Result<Url, Fault> {
    match url {
        Some(url) => Ok(checked(fetcher, url)?),
        None => Err(Fault::Unnamed {
            url: at.into(),
            member,
        }),
    }
}
