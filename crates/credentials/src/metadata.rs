//! What may be registered of a client: rules of RFC 7591 §2, RFC 8252 §7, RFC 9700 §2 and RFC 8705 §2.
//!
//! All that is wrong is told at once. What is fetched later (`jwks_uri`, `backchannel_logout_uri`) is held against the
//! guarded client's rules by whoever has that client; see [`fetched`].

use std::net::{Ipv4Addr, Ipv6Addr};

use jose::{KeySet, KeySetRules};
use store::{AuthMethod, ClientMetadata, GrantType};
use url::{Host, Url};

/// The most URIs of one kind that a client has.
pub const URIS_MAX: usize = 20;
/// The longest URI, in bytes.
pub const URI_BYTES_MAX: usize = 2048;
/// The longest name of a client, and of other short texts, in bytes.
pub const TEXT_BYTES_MAX: usize = 200;
/// The longest lifetime that a refresh token may be given, in seconds: a year.
pub const REFRESH_LIFETIME_S_MAX: u64 = 365 * 24 * 60 * 60;

/// Something that is not registered so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct MetadataFault {
    /// The member of the metadata.
    pub field: &'static str,
    /// What is wrong, and how it would be right.
    pub problem: String,
}

#[derive(Default)]
struct Faults(Vec<MetadataFault>);

impl Faults {
    fn add(&mut self, field: &'static str, problem: impl Into<String>) {
        self.0.push(MetadataFault {
            field,
            problem: problem.into(),
        });
    }
}

/// Everything that is wrong with this metadata. `lifetime_s_max` is the longest lifetime of an access token.
#[must_use]
pub fn check(metadata: &ClientMetadata, lifetime_s_max: u64) -> Vec<MetadataFault> {
    let mut faults = Faults::default();
    uris(metadata, &mut faults);
    grants(metadata, &mut faults);
    authentication(metadata, &mut faults);
    keys(metadata, &mut faults);
    lifetimes(metadata, lifetime_s_max, &mut faults);
    texts(metadata, &mut faults);
    faults.0.extend(crate::pairwise::check(metadata));
    if metadata.dpop_bound_access_tokens && metadata.tls_client_certificate_bound_access_tokens {
        faults.add(
            "dpop_bound_access_tokens",
            "tokens are bound to a DPoP key or to a certificate, not to both",
        );
    }
    if !metadata.require_pkce && metadata.is_public() {
        faults.add(
            "require_pkce",
            "a public client cannot do without PKCE (RFC 9700 section 2.1.1)",
        );
    }
    faults.0
}

/// The URLs that the platform itself will call, by their members.
pub fn fetched(metadata: &ClientMetadata) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("jwks_uri", &metadata.jwks_uri),
        ("backchannel_logout_uri", &metadata.backchannel_logout_uri),
        ("sector_identifier_uri", &metadata.sector_identifier_uri),
    ]
    .into_iter()
    .filter_map(|(field, url)| Some((field, url.as_deref()?)))
}

/// Whether users may be sent there: `https`; `http` at this machine's own loopback (RFC 8252 §7.3, for programs that run
/// there); or a scheme of a program's own, a reversed domain name with at least one dot (RFC 8252 §7.1). Never a fragment
/// (RFC 6749 §3.1.2), never credentials, never a wildcard.
///
/// # Errors
/// What is wrong with it.
pub fn check_redirect_uri(uri: &str) -> Result<(), &'static str> {
    let url = plain(uri)?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("`http` is for loopback addresses only; use `https`"),
        own if own.contains('.') => Ok(()),
        _ => Err(
            "the scheme is not `https`, and no private-use one: those are reversed domain names such as \
             `com.example.app` (RFC 8252 section 7.1)",
        ),
    }
}

/// What no URI of a client has.
fn plain(uri: &str) -> Result<Url, &'static str> {
    if uri.len() > URI_BYTES_MAX {
        return Err("too long");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has characters that no URI has (RFC 3986)");
    }
    if uri.contains('#') {
        return Err("it has a fragment");
    }
    // Everything is compared byte for byte; these only look as if they matched more.
    if uri.contains('*') || uri.contains('\\') {
        return Err("it has a wildcard or a backslash; URIs are compared byte for byte");
    }
    let url = Url::parse(uri).map_err(|_| "it is no absolute URI")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user or password");
    }
    if matches!(url.scheme(), "http" | "https") && !has_authority(uri, &url) {
        return Err("it has no host");
    }
    Ok(url)
}

/// The parser mends `https:host` and `https:/host`; another one reads something else there.
fn has_authority(uri: &str, url: &Url) -> bool {
    let rest = uri.get(url.scheme().len()..).unwrap_or_default();
    rest.starts_with("://") && !rest.starts_with(":///") && url.host().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn uris(metadata: &ClientMetadata, faults: &mut Faults) {
    for (field, uris) in [
        ("redirect_uris", &metadata.redirect_uris),
        (
            "post_logout_redirect_uris",
            &metadata.post_logout_redirect_uris,
        ),
    ] {
        if uris.len() > URIS_MAX {
            faults.add(field, format!("at most {URIS_MAX} are kept"));
        }
        for uri in uris.iter().take(URIS_MAX) {
            if let Err(problem) = check_redirect_uri(uri) {
                faults.add(field, format!("{:?}: {problem}", cut(uri)));
            }
        }
    }
    for (field, url) in fetched(metadata) {
        let found = plain(url).and_then(|url| match url.scheme() {
            "https" | "http" => Ok(()),
            _ => Err("only `https` and `http` are fetched"),
        });
        if let Err(problem) = found {
            faults.add(field, problem);
        }
    }
    for (field, url) in [
        ("client_uri", &metadata.client_uri),
        ("logo_uri", &metadata.logo_uri),
        ("tos_uri", &metadata.tos_uri),
        ("policy_uri", &metadata.policy_uri),
    ] {
        let Some(url) = url else { continue };
        let shown = plain(url).map(|url| matches!(url.scheme(), "https" | "http"));
        if shown != Ok(true) {
            faults.add(field, "not an `https` URL");
        }
    }
    if metadata.default_resources.len() > URIS_MAX {
        faults.add("default_resources", format!("at most {URIS_MAX} are kept"));
    }
    for uri in metadata.default_resources.iter().take(URIS_MAX) {
        // RFC 8707 §2: an absolute URI without fragment.
        if let Err(problem) = plain(uri) {
            faults.add("default_resources", format!("{:?}: {problem}", cut(uri)));
        }
    }
}

fn grants(metadata: &ClientMetadata, faults: &mut Faults) {
    let field = "grant_types";
    if metadata.grant_types.is_empty() {
        faults.add(field, "a client without a grant can do nothing");
    }
    if metadata.may(GrantType::AuthorizationCode) && metadata.redirect_uris.is_empty() {
        faults.add(
            "redirect_uris",
            "`authorization_code` needs one at least: users are sent nowhere else",
        );
    }
    let asks = metadata.may(GrantType::AuthorizationCode) || metadata.may(GrantType::DeviceCode);
    if metadata.may(GrantType::RefreshToken) && !asks {
        faults.add(
            field,
            "`refresh_token` goes with a grant that asks a user: `authorization_code` or the device grant",
        );
    }
    for grant in [GrantType::ClientCredentials, GrantType::TokenExchange] {
        if metadata.may(grant) && metadata.is_public() {
            faults.add(
                field,
                format!("`{}` is for clients that prove themselves", grant.as_str()),
            );
        }
    }
}

fn authentication(metadata: &ClientMetadata, faults: &mut Faults) {
    let has_keys = metadata.jwks.is_some() || metadata.jwks_uri.is_some();
    let field = "token_endpoint_auth_method";
    let method = metadata.token_endpoint_auth_method;
    let subjects = [
        &metadata.tls_client_auth_subject_dn,
        &metadata.tls_client_auth_san_dns,
        &metadata.tls_client_auth_san_uri,
        &metadata.tls_client_auth_san_ip,
        &metadata.tls_client_auth_san_email,
    ];
    let subjects = subjects.iter().filter(|subject| subject.is_some()).count();
    match method {
        AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth if !has_keys => faults.add(
            field,
            format!("`{}` needs `jwks` or `jwks_uri`", method.as_str()),
        ),
        AuthMethod::TlsClientAuth if subjects != 1 => faults.add(
            field,
            "`tls_client_auth` needs exactly one of the members `tls_client_auth_…` (RFC 8705 section 2.1.2)",
        ),
        _ => {}
    }
    if method != AuthMethod::TlsClientAuth && subjects > 0 {
        faults.add(
            field,
            "members `tls_client_auth_…` have a meaning with `tls_client_auth` only",
        );
    }
}

fn keys(metadata: &ClientMetadata, faults: &mut Faults) {
    if metadata.jwks.is_some() && metadata.jwks_uri.is_some() {
        faults.add("jwks", "either `jwks` or `jwks_uri` (RFC 7591 section 2)");
    }
    let Some(jwks) = &metadata.jwks else { return };
    let rules = KeySetRules {
        rsa_alg: Some(jose::Algorithm::Rs256),
        ..KeySetRules::default()
    };
    match KeySet::from_json(&jwks.to_string(), &rules) {
        Ok(keys) if keys.keys().is_empty() => {
            let why = keys.skipped().first().map(ToString::to_string);
            faults.add("jwks", why.unwrap_or_else(|| "it has no key".to_owned()));
        }
        Ok(_) => {}
        Err(error) => faults.add("jwks", error.to_string()),
    }
}

fn lifetimes(metadata: &ClientMetadata, lifetime_s_max: u64, faults: &mut Faults) {
    for (field, lifetime, max) in [
        (
            "access_token_lifetime_s",
            metadata.access_token_lifetime_s,
            lifetime_s_max,
        ),
        (
            "id_token_lifetime_s",
            metadata.id_token_lifetime_s,
            lifetime_s_max,
        ),
        (
            "refresh_token_lifetime_s",
            metadata.refresh_token_lifetime_s,
            REFRESH_LIFETIME_S_MAX,
        ),
    ] {
        if lifetime.is_some_and(|lifetime| lifetime == 0 || lifetime > max) {
            faults.add(field, format!("a number of seconds from 1 to {max}"));
        }
    }
}

fn texts(metadata: &ClientMetadata, faults: &mut Faults) {
    let scope = |name: &String| {
        (1..=TEXT_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if metadata
        .scopes
        .as_ref()
        .is_some_and(|scopes| scopes.len() > 1000 || !scopes.iter().all(scope))
    {
        faults.add(
            "scope",
            "not a list of at most 1000 scope names separated by blanks (RFC 6749 section 3.3)",
        );
    }
    let contacts = metadata.contacts.iter().map(|text| ("contacts", text));
    let single = [
        (
            "tls_client_auth_subject_dn",
            &metadata.tls_client_auth_subject_dn,
        ),
        ("tls_client_auth_san_dns", &metadata.tls_client_auth_san_dns),
        ("tls_client_auth_san_uri", &metadata.tls_client_auth_san_uri),
        ("tls_client_auth_san_ip", &metadata.tls_client_auth_san_ip),
        (
            "tls_client_auth_san_email",
            &metadata.tls_client_auth_san_email,
        ),
        ("software_id", &metadata.software_id),
        ("software_version", &metadata.software_version),
    ];
    let single = single
        .into_iter()
        .filter_map(|(field, text)| Some((field, text.as_ref()?)));
    for (field, text) in contacts.chain(single) {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            faults.add(field, format!("a text of 1 to {TEXT_BYTES_MAX} bytes"));
        }
    }
    if metadata.contacts.len() > URIS_MAX {
        faults.add("contacts", format!("at most {URIS_MAX} are kept"));
    }
}

/// What an error shows of somebody's text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(100);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
