//! Pairwise names of users (OpenID Connect Core §8.1): what a client of one sector knows somebody by tells one of another
//! sector nothing.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base::UserId;
use serde_json::Value;
use store::{ClientMetadata, SubjectType};
use url::Url;

use crate::key_file::KeyFile;
use crate::metadata::MetadataFault;

/// The longest list at a `sector_identifier_uri`, in bytes.
pub const SECTOR_BYTES_MAX: usize = 64 * 1024;

/// Names users. The key comes of the key file alone: it is nowhere else.
#[derive(Clone)]
pub struct Pairwise(hmac::Key);

impl Pairwise {
    /// Those of this key file.
    #[must_use]
    pub fn new(keys: &KeyFile) -> Self {
        let key = keys.pairwise_subject().expose();
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What a client knows a user by; `None` = by the id (`subject_type` `public`). It stays the same as long as the
    /// client's sector does.
    #[must_use]
    pub fn subject(
        &self,
        client_id: &str,
        metadata: &ClientMetadata,
        user: UserId,
    ) -> Option<String> {
        if metadata.subject_type == SubjectType::Public {
            return None;
        }
        let sector = sector(client_id, metadata);
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&(sector.len() as u64).to_be_bytes());
        context.update(sector.as_bytes());
        context.update(user.0.as_bytes());
        Some(jose::base64url(context.sign().as_ref()))
    }
}

/// Without the key.
impl std::fmt::Debug for Pairwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pairwise(***)")
    }
}

/// The clients that know users by the same names: those of one `sector_identifier_uri`'s host, or of one host of redirect
/// URIs. A program on somebody's own machine has no host that tells it from others: it is a sector of its own.
fn sector(client_id: &str, metadata: &ClientMetadata) -> String {
    let named = metadata.sector_identifier_uri.as_deref().and_then(host);
    let own = || {
        let mut hosts = hosts(metadata).into_iter();
        hosts.next().filter(|_| hosts.next().is_none())
    };
    match named.or_else(own) {
        Some(host) => format!("host:{host}"),
        None => format!("client:{client_id}"),
    }
}

/// The hosts of the web that users are sent back to.
fn hosts(metadata: &ClientMetadata) -> BTreeSet<String> {
    let of_the_web = metadata.redirect_uris.iter();
    let of_the_web = of_the_web.filter(|uri| uri.starts_with("https://"));
    of_the_web.filter_map(|uri| host(uri)).collect()
}

fn host(uri: &str) -> Option<String> {
    Some(Url::parse(uri).ok()?.host_str()?.to_owned())
}

/// What is wrong with how users are to be named.
pub(crate) fn check(metadata: &ClientMetadata) -> Option<MetadataFault> {
    let fault = |problem: &str| {
        Some(MetadataFault {
            field: "sector_identifier_uri",
            problem: problem.to_owned(),
        })
    };
    if let Some(uri) = &metadata.sector_identifier_uri {
        if !is_acceptable(uri) {
            return fault("it has to be an `https` URL (OpenID Connect Core section 8.1)");
        }
        return None;
    }
    if metadata.subject_type == SubjectType::Pairwise && hosts(metadata).len() > 1 {
        return fault(
            "redirect URIs of several hosts and pairwise subjects need one (OpenID Connect Core section 8.1)",
        );
    }
    None
}

/// Whether the URI is of `https`, or of a program on this machine, as somebody has who tries things out.
fn is_acceptable(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}

/// Holds what was found at a client's `sector_identifier_uri` against its redirect URIs.
///
/// # Errors
/// When it is no list of texts, or lacks one of them.
///
/// Source: OpenID Connect Registration §5.
pub fn check_sector(metadata: &ClientMetadata, found: &[u8]) -> Result<(), MetadataFault> {
    let fault = |problem: String| MetadataFault {
        field: "sector_identifier_uri",
        problem,
    };
    let listed: Option<Vec<String>> = serde_json::from_slice::<Value>(found)
        .ok()
        .and_then(|found| serde_json::from_value(found).ok());
    let Some(listed) = listed else {
        return Err(fault("there is no JSON array of redirect URIs".to_owned()));
    };
    let missing = metadata
        .redirect_uris
        .iter()
        .find(|uri| !listed.contains(uri));
    match missing {
        None => Ok(()),
        Some(uri) => Err(fault(format!("the list there lacks {uri:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use base::Secret;

    use super::*;

    fn client(uris: &[&str], sector: Option<&str>) -> ClientMetadata {
        ClientMetadata {
            subject_type: SubjectType::Pairwise,
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            sector_identifier_uri: sector.map(str::to_owned),
            ..ClientMetadata::default()
        }
    }

    #[test]
    fn names_are_of_a_sector_and_a_user() {
        let pairwise = |byte| Pairwise::new(&KeyFile::from_root(&Secret::new([byte; 32])).unwrap());
        let (ours, others) = (pairwise(1), pairwise(2));
        let (ada, eve) = (UserId::generate(), UserId::generate());
        let shop = client(
            &["https://shop.example/cb", "https://shop.example/other"],
            None,
        );
        let name = ours.subject("a", &shop, ada).unwrap();
        assert_eq!(name.len(), 43);
        assert!(name.parse::<UserId>().is_err());
        assert_eq!(
            ours.subject("b", &shop, ada),
            Some(name.clone()),
            "one sector"
        );
        assert_ne!(ours.subject("a", &shop, eve), Some(name.clone()));
        assert_ne!(others.subject("a", &shop, ada), Some(name.clone()));
        let other = client(&["https://other.example/cb"], None);
        assert_ne!(ours.subject("a", &other, ada), Some(name.clone()));
        let joined = client(
            &["https://other.example/cb"],
            Some("https://shop.example/sector"),
        );
        assert_eq!(ours.subject("c", &joined, ada), Some(name.clone()));
        let app = client(&["com.example.app:/cb", "http://127.0.0.1/cb"], None);
        assert_ne!(ours.subject("a", &app, ada), ours.subject("b", &app, ada));
        let public = ClientMetadata::default();
        assert_eq!(ours.subject("a", &public, ada), None);
    }

    #[test]
    fn sectors_are_checked() {
        let two = ["https://a.example/cb", "https://b.example/cb"];
        assert!(check(&client(&two, None)).is_some());
        assert!(check(&client(&two, Some("https://a.example/sector"))).is_none());
        for wrong in [
            "http://a.example/sector",
            "http://localhost.evil.example/sector",
            "http://127.0.0.1.evil.example/sector",
            "http://localhost@evil.example/sector",
            "ftp://localhost/sector",
            "sector",
        ] {
            assert!(check(&client(&two[..1], Some(wrong))).is_some(), "{wrong}");
        }
        assert!(check(&client(&two[..1], Some("http://localhost:8080/sector"))).is_none());
        assert!(check(&client(&two[..1], None)).is_none());
        let listed = client(&two, Some("https://a.example/sector"));
        let all = serde_json::json!(["https://x.example", two[1], two[0]]).to_string();
        assert!(check_sector(&listed, all.as_bytes()).is_ok());
        for wrong in [
            r#"["https://a.example/cb"]"#,
            "{}",
            "",
            r#"["https://a.example/cb", 7]"#,
        ] {
            assert!(check_sector(&listed, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
