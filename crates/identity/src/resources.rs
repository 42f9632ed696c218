//! Resource indicators (RFC 8707): which APIs a token is for.

use credentials::{ApiTerms, TokenTerms};
use store::ClientMetadata;

use crate::oauth::OAuthError;

/// The most resources that one request names.
const RESOURCES_MAX: usize = 16;

/// The audience of a token for some resources, and the terms of a client narrowed to them. With no resource it is what the
/// client is registered for, and else all gateways (an empty audience).
///
/// A resource is an audience that an API takes, or the API's URL: any host that it is served at, and the path of a mount.
/// The client's application has to be subscribed to it.
///
/// # Errors
/// `invalid_target` (RFC 8707 §2).
pub(crate) fn narrowed(
    resources: &[String],
    metadata: &ClientMetadata,
    terms: TokenTerms,
) -> Result<(Vec<String>, TokenTerms), OAuthError> {
    let resources = match resources {
        [] => metadata.default_resources.as_slice(),
        named => named,
    };
    let invalid = |text: &str| OAuthError::of("invalid_target", text);
    if resources.len() > RESOURCES_MAX {
        let text = format!("at most {RESOURCES_MAX} resources can be named");
        return Err(invalid(&text));
    }
    let audience = audience_of(resources, &terms);
    let terms = terms.for_resources(&audience);
    let terms = terms.map_err(|error| invalid(&error.to_string()))?;
    Ok((audience, terms))
}

/// The audience of a token for some resources, each once: what is the URL of an API stands for the audience of that API.
pub(crate) fn audience_of(resources: &[String], terms: &TokenTerms) -> Vec<String> {
    let mut audience: Vec<String> = resources
        .iter()
        .map(|resource| meant(resource, terms).unwrap_or_else(|| resource.clone()))
        .collect();
    audience.sort();
    audience.dedup();
    audience
}

/// The audience to prefer, of the API with this URL.
fn meant(resource: &str, terms: &TokenTerms) -> Option<String> {
    let api = terms.apis.iter().find(|api| is_url_of(resource, api))?;
    api.audiences.first().cloned()
}

fn is_url_of(resource: &str, api: &ApiTerms) -> bool {
    let rest = resource
        .strip_prefix("https://")
        .or_else(|| resource.strip_prefix("http://"));
    // RFC 8707 §2: an absolute URI without fragment. A query names no API.
    let Some(rest) = rest.filter(|rest| !rest.contains(['#', '?', '@', '\\'])) else {
        return false;
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let mut hosts = api.hosts.iter();
    let served = api.hosts.is_empty() || hosts.any(|known| known.eq_ignore_ascii_case(host));
    let path = path.trim_end_matches('/');
    !host.is_empty() && served && api.mounts.iter().any(|mount| mount == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const PETS: &str = "urn:tollway:default:api:pets-1";

    fn terms() -> TokenTerms {
        let pets = ApiTerms {
            audiences: list(&[PETS, "urn:tollway:default:gateway"]),
            mounts: list(&["/pets/1", "/pets"]),
            scopes: set(&["pets:read"]),
            ..ApiTerms::default()
        };
        let orders = ApiTerms {
            audiences: list(&["orders", "https://orders.example"]),
            mounts: list(&["/orders/1"]),
            hosts: list(&["api.example.com"]),
            scopes: set(&["orders:read"]),
            ..ApiTerms::default()
        };
        TokenTerms {
            scopes: set(&["pets:read", "orders:read"]),
            apis: vec![pets, orders],
            ..TokenTerms::default()
        }
    }

    fn audience(resources: &[&str]) -> Option<Vec<String>> {
        let narrowed = narrowed(&list(resources), &ClientMetadata::default(), terms());
        narrowed.ok().map(|(audience, _)| audience)
    }

    #[test]
    fn a_resource_is_an_api_that_the_application_is_subscribed_to() {
        for resource in [
            PETS,
            "https://gateway.example.com/pets/1",
            "http://localhost:8080/pets/1/",
            "https://other.example/pets",
        ] {
            assert_eq!(audience(&[resource]), Some(list(&[PETS])), "{resource}");
        }
        for resource in ["orders", "https://api.example.com/orders/1"] {
            assert_eq!(audience(&[resource]), Some(list(&["orders"])), "{resource}");
        }
        for other in [
            "https://evil.example/orders/1",
            "https://api.example.com/orders/1#a",
            "https://api.example.com/orders/1?a",
            "https://api.example.com/orders/2",
            "https:///pets/1",
            "ftp://x/pets/1",
            "urn:tollway:default:api:other-1",
            "",
        ] {
            assert_eq!(audience(&[other]), None, "{other}");
        }
        let both = audience(&["orders", "https://x/pets", PETS]);
        assert_eq!(both, Some(list(&["orders", PETS])));
        assert_eq!(audience(&["orders", "nothing"]), None);
    }

    #[test]
    fn without_a_resource_the_registration_says_and_else_it_is_every_gateway() {
        assert_eq!(audience(&[]), Some(Vec::new()));
        let metadata = ClientMetadata {
            default_resources: list(&["orders"]),
            ..ClientMetadata::default()
        };
        let (audience, narrowed) = narrowed(&[], &metadata, terms()).unwrap();
        assert_eq!(audience, list(&["orders"]));
        assert_eq!(narrowed.scopes, set(&["orders:read"]));
    }
}
