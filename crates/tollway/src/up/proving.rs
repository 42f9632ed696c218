//! How clients prove themselves, from the options.

use std::net::SocketAddr;

use identity::ProvingConfig;

use super::{Options, UpError};

/// What the options say; `tls` is where the authorization server listens with TLS of its own.
///
/// # Errors
/// [`UpError::Options`] for an alias that is no URL.
pub(super) fn config(options: &Options, tls: Option<SocketAddr>) -> Result<ProvingConfig, UpError> {
    let defaults = ProvingConfig::default();
    let mtls_url = match (&options.identity_tls_url, tls) {
        (Some(url), _) if !url.starts_with("https://") => {
            let text = "--identity-tls-url has to begin with https://";
            return Err(UpError::Options(text.into()));
        }
        (Some(url), _) => Some(url.trim_end_matches('/').to_owned()),
        // Where tokens are issued over that listener alone, there is nothing to say.
        (None, Some(_)) if options.public_url.as_deref().is_some_and(is_https) => None,
        (None, Some(address)) => Some(format!("https://{address}")),
        (None, None) => None,
    };
    Ok(ProvingConfig {
        dpop_nonce: options.dpop_nonce.unwrap_or(defaults.dpop_nonce),
        mtls_url,
        certificates: tls.is_some(),
        ..defaults
    })
}

fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}
