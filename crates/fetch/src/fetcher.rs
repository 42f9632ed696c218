//! The client.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use url::{Host, Origin, Url};

use crate::resolve::{Guard, Stopped};
use crate::{Allow, Counts, FetchError, Resolve};

/// What a fetch may reach and cost.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// What may be reached although it is not public; default nothing.
    pub allow: Allow,
    /// The longest answer in bytes; default 10 MiB.
    pub bytes_max: usize,
    /// The most redirects in a row; default 5.
    pub redirects_max: usize,
    /// How long a connection may take to stand, in milliseconds; default 5 seconds.
    pub connect_timeout_ms: u64,
    /// How long a fetch may take with all redirects, in milliseconds; default 20 seconds.
    pub timeout_ms: u64,
    /// Authorities to trust besides those of the system.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            allow: Allow::default(),
            bytes_max: 10 * 1024 * 1024,
            redirects_max: 5,
            connect_timeout_ms: 5_000,
            timeout_ms: 20_000,
            roots: Vec::new(),
        }
    }
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An authority to trust is no certificate, or TLS has no version.
    #[error("TLS of the guarded client cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The library refuses.
    #[error("the guarded client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// What was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Where it was found, behind all redirects.
    pub url: Url,
    /// The answer's body.
    pub body: Vec<u8>,
    /// For how many seconds it is good, as the answer has it (`Cache-Control: max-age`, RFC 9111 §5.2.2.1); `None` = it does not say.
    pub max_age_s: Option<u64>,
}

/// The guarded client. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    config: Arc<FetchConfig>,
    allow: Arc<Allow>,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A client that looks names up with this resolver.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(config: FetchConfig, resolver: impl Resolve) -> Result<Self, SetupError> {
        let allow = Arc::new(config.allow.clone());
        let guard = Guard {
            resolver: Arc::new(resolver),
            allow: Arc::clone(&allow),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&config.roots).map_err(SetupError::Tls)?)
            .dns_resolver(guard)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            // Every request makes a connection of its own, so every request is checked.
            .pool_max_idle_per_host(0)
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .user_agent(concat!("tollway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self {
            client,
            config: Arc::new(config),
            allow,
            counts: Arc::default(),
        })
    }

    /// How fetches ended since the start.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// GETs a URL.
    ///
    /// # Errors
    /// [`FetchError`]; it does not tell what was found.
    pub async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        self.counted(url, None, self.config.bytes_max).await
    }

    /// GETs a URL that belongs to another: it and its redirects stay at `origin`, or at hosts of the allow-list. At
    /// most `bytes_max` bytes, where that is less than the configuration allows.
    ///
    /// # Errors
    /// As [`Fetcher::get`]; [`FetchError::Origin`] for another origin.
    pub async fn get_within(
        &self,
        url: &Url,
        origin: &Origin,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        let bytes_max = bytes_max.min(self.config.bytes_max);
        self.counted(url, Some(origin), bytes_max).await
    }

    /// POSTs a form (`application/x-www-form-urlencoded`) and looks at nothing but whether it was taken: 200 or 204. No
    /// redirect is followed.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn post_form(&self, url: &Url, form: String) -> Result<(), FetchError> {
        let limit = Duration::from_millis(self.config.timeout_ms);
        let posting = async {
            self.check(url, None)?;
            let request = self.client.post(url.clone()).body(form);
            let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let response = self.send(url, request).await?;
            match response.status() {
                StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
                other => Err(FetchError::Status(other.as_u16())),
            }
        };
        let result = match tokio::time::timeout(limit, posting).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(self.config.timeout_ms)),
        };
        self.counts.count(&result);
        result
    }

    /// POSTs a form with these credentials (`Authorization`) and answers the body, of at most `bytes_max` bytes, of a 200. No redirect is
    /// followed: credentials go to the URL and nowhere else.
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn ask_form(
        &self,
        url: &Url,
        form: String,
        credentials: Option<HeaderValue>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let limit = Duration::from_millis(self.config.timeout_ms);
        let asking = async {
            self.check(url, None)?;
            let request = self.client.post(url.clone()).body(form);
            let request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(ACCEPT, "application/json");
            let request = match credentials {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            let response = self.send(url, request).await?;
            match response.status() {
                StatusCode::OK => self.body(response, bytes_max).await,
                other => Err(FetchError::Status(other.as_u16())),
            }
        };
        let result = match tokio::time::timeout(limit, asking).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(self.config.timeout_ms)),
        };
        self.counts.count(&result);
        result
    }

    /// Whether the allow-list names the host of a URL, or the address that stands in its place: whoever runs the platform knows it.
    #[must_use]
    pub fn knows(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(v4)) => self.allow.has_address(v4.into()),
            Some(Host::Ipv6(v6)) => self.allow.has_address(v6.into()),
            Some(Host::Domain(name)) => self.allow.has_host(name),
            None => false,
        }
    }

    /// Whether a URL may be fetched, as far as it says so itself: names are looked up only when it is fetched, and are
    /// held against the same rules then.
    ///
    /// # Errors
    /// [`FetchError::Url`], [`FetchError::Blocked`].
    pub fn permits(&self, url: &Url) -> Result<(), FetchError> {
        self.check(url, None)
    }

    async fn counted(
        &self,
        url: &Url,
        origin: Option<&Origin>,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        let limit = Duration::from_millis(self.config.timeout_ms);
        let following = self.follow(url.clone(), origin, bytes_max);
        let result = match tokio::time::timeout(limit, following).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(self.config.timeout_ms)),
        };
        self.counts.count(&result);
        result
    }

    async fn follow(
        &self,
        mut url: Url,
        origin: Option<&Origin>,
        bytes_max: usize,
    ) -> Result<Fetched, FetchError> {
        for _ in 0..=self.config.redirects_max {
            self.check(&url, origin)?;
            let request = self.client.get(url.clone());
            let request = request.header(ACCEPT, "application/yaml, application/json, */*;q=0.5");
            let response = self.send(&url, request).await?;
            let status = response.status();
            if status.is_redirection()
                && let Some(next) = location(&url, &response)
            {
                if url.scheme() == "https" && next.scheme() == "http" {
                    return Err(FetchError::Downgrade);
                }
                url = next;
                continue;
            }
            if status != StatusCode::OK {
                return Err(FetchError::Status(status.as_u16()));
            }
            let max_age_s = max_age_s(&response);
            let body = self.body(response, bytes_max).await?;
            return Ok(Fetched {
                url,
                body,
                max_age_s,
            });
        }
        Err(FetchError::Redirects(self.config.redirects_max))
    }

    /// What can be said before a name is looked up. The parser has read all spellings of an address (`0x7f.1`,
    /// `2130706433`, `017700000001`) as that address.
    fn check(&self, url: &Url, origin: Option<&Origin>) -> Result<(), FetchError> {
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host().filter(|_| plain).ok_or(FetchError::Url)?;
        let address = match host {
            Host::Ipv4(v4) => Some(IpAddr::from(v4)),
            Host::Ipv6(v6) => Some(IpAddr::from(v6)),
            Host::Domain(_) => None,
        };
        let name = url.host_str().unwrap_or_default();
        if address.is_some_and(|address| !self.allow.permits(name, address)) {
            return Err(FetchError::Blocked);
        }
        match origin {
            Some(origin) if url.origin() != *origin && !self.allow.has_host(name) => {
                Err(FetchError::Origin)
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, FetchError> {
        let response = request.send().await.map_err(|error| cause(&error))?;
        // The connector got checked addresses only; should it ever go elsewhere, nothing of the answer is used.
        let name = url.host_str().unwrap_or_default();
        match response.remote_addr() {
            Some(peer) if self.allow.permits(name, peer.ip()) => Ok(response),
            _ => Err(FetchError::Blocked),
        }
    }

    async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(FetchError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// What an answer says of how long it is good; what must not be kept is good for no time.
fn max_age_s(response: &Response) -> Option<u64> {
    let mut found = None;
    for value in response.headers().get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Some(0);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                found = seconds.trim_matches('"').parse().ok();
            }
        }
    }
    found
}

/// Where a redirect leads. The fragment of what was asked for is no part of it.
fn location(url: &Url, response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?;
    url.join(location.to_str().ok()?).ok()
}

fn cause(error: &reqwest::Error) -> FetchError {
    let mut source = error.source();
    while let Some(inner) = source {
        match inner.downcast_ref::<Stopped>() {
            Some(Stopped::Blocked) => return FetchError::Blocked,
            Some(Stopped::Unresolved) => return FetchError::Unresolved,
            None => source = inner.source(),
        }
    }
    FetchError::Unreachable
}

fn tls(more: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // What the system has; without any, only https fails.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    for certificate in more {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
