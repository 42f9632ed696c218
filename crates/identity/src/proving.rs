//! What clients prove by: keys of their own, nonces, certificates.

use credentials::Nonces;
use fetch::{FetchError, Fetched, Fetcher};
use url::Url;

use crate::client::ClientKeys;

/// What the role keeps for the proofs of clients.
pub struct Proving {
    pub(crate) keys: ClientKeys,
    pub(crate) nonces: Nonces,
    pub(crate) config: ProvingConfig,
    fetcher: Fetcher,
}

/// How clients prove themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvingConfig {
    /// Whether DPoP proofs must repeat a nonce of this server (RFC 9449 §8): then no proof can be made in advance. Default
    /// yes.
    pub dpop_nonce: bool,
    /// How old a DPoP proof may be, and how far ahead, in seconds; default 60.
    pub dpop_window_s: u64,
    /// Where clients with certificates reach this server, if that is another address: the beginning of the endpoints in
    /// `mtls_endpoint_aliases` (RFC 8705 §5).
    pub mtls_url: Option<String>,
    /// Whether some listener asks for client certificates.
    pub certificates: bool,
}

impl Default for ProvingConfig {
    fn default() -> Self {
        Self {
            dpop_nonce: true,
            dpop_window_s: 60,
            mtls_url: None,
            certificates: false,
        }
    }
}

impl Proving {
    /// Fetches what a client names; its redirects stay where it is.
    pub(crate) async fn fetch(&self, url: &Url, bytes_max: usize) -> Result<Fetched, FetchError> {
        self.fetcher.get_within(url, &url.origin(), bytes_max).await
    }

    /// Keys of clients are fetched by this guarded client.
    #[must_use]
    pub fn new(fetcher: Fetcher, nonces: Nonces, config: ProvingConfig) -> Self {
        Self {
            keys: ClientKeys::new(fetcher.clone()),
            fetcher,
            nonces,
            config,
        }
    }
}
