use super::*;
use serde_json::json;

fn secret(expires_unix_s: Option<u64>) -> CredentialSecret {
    CredentialSecret {
        id: SecretId::generate(),
        hash: Digest::of(b"secret"),
        prefix: None,
        created_unix_ms: 0,
        expires_unix_s,
        used_unix_s: None,
    }
}

fn credential(expires_unix_s: Option<u64>, secrets: Vec<CredentialSecret>) -> Credential {
    Credential {
        id: CredentialId::generate(),
        org: Org::default_org(),
        application: ApplicationId::generate(),
        name: String::new(),
        kind: CredentialKind::ApiKey(KeyLimits::default()),
        environment: Environment::default(),
        secrets,
        created_unix_ms: 0,
        updated_unix_ms: 0,
        expires_unix_s,
        used_unix_s: None,
    }
}

#[test]
fn a_secret_ends_with_its_credential() {
    let of = credential(Some(50), vec![secret(Some(20)), secret(None)]);
    let live = |now| of.live_secrets(now).count();
    assert_eq!((live(19), live(20), live(49), live(50)), (2, 1, 1, 0));
    let end = |own, secrets| credential(own, secrets).ends_unix_s();
    assert_eq!(
        end(None, vec![secret(Some(20)), secret(Some(30))]),
        Some(30)
    );
    assert_eq!(end(None, vec![secret(Some(20)), secret(None)]), None);
    assert_eq!(
        end(Some(50), vec![secret(Some(20)), secret(None)]),
        Some(50)
    );
    assert_eq!(end(Some(50), vec![secret(Some(20))]), Some(20));
    assert_eq!(end(Some(50), vec![]), Some(50));
}

#[test]
fn metadata_has_the_names_of_the_registrations() {
    let text = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
        "redirect_uris": ["https://app.example/cb"],
        "scope": "write read",
        "id_token_signed_response_alg": "Ed25519",
        "dpop_bound_access_tokens": true,
    });
    let read: ClientMetadata = serde_json::from_value(text).unwrap();
    assert_eq!(read.token_endpoint_auth_method, AuthMethod::PrivateKeyJwt);
    assert!(read.may(GrantType::DeviceCode) && !read.may(GrantType::ClientCredentials));
    let scopes = BTreeSet::from(["read".to_owned(), "write".to_owned()]);
    assert_eq!(read.scopes, Some(scopes));
    assert_eq!(read.id_token_signed_response_alg, SigningAlgorithm::EdDsa);
    assert!(read.require_pkce, "a client needs PKCE unless it opts out");
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written["scope"], "read write");
    assert_eq!(
        serde_json::from_value::<ClientMetadata>(written).unwrap(),
        read
    );
    for method in AuthMethod::ALL {
        assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
    }
    for grant in GrantType::ALL {
        assert_eq!(serde_json::to_value(grant).unwrap(), grant.as_str());
        assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
    }
    for alg in SigningAlgorithm::ALL {
        assert_eq!(serde_json::to_value(alg).unwrap(), alg.as_str());
        assert_eq!(SigningAlgorithm::parse(alg.as_str()), Some(alg));
    }
}

/// req: T4
#[test]
fn refresh_tokens_rotate_unless_theft_is_of_no_use() {
    let of = |method, bound, own| {
        ClientMetadata {
            token_endpoint_auth_method: method,
            dpop_bound_access_tokens: bound,
            refresh_token_rotation: own,
            ..ClientMetadata::default()
        }
        .rotates_refresh_tokens()
    };
    assert!(of(AuthMethod::None, false, None));
    assert!(of(AuthMethod::None, true, None));
    assert!(of(AuthMethod::ClientSecretBasic, false, None));
    assert!(!of(AuthMethod::ClientSecretBasic, true, None));
    assert!(of(AuthMethod::ClientSecretBasic, true, Some(true)));
}
