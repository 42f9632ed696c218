use serde_json::json;

use super::*;

const DAY_S: u64 = 24 * 60 * 60;

fn fields(metadata: serde_json::Value) -> Vec<&'static str> {
    let metadata: ClientMetadata = serde_json::from_value(metadata).unwrap();
    let faults = check(&metadata, DAY_S);
    faults.into_iter().map(|fault| fault.field).collect()
}

/// req: S8
#[test]
fn redirect_uris() {
    for good in [
        "https://app.example/cb",
        "https://app.example:8443/cb?x=1",
        "http://127.0.0.1/cb",
        "http://127.0.0.1:49152/cb",
        "http://[::1]:5000/",
        "http://localhost:3000/cb",
        "com.example.app:/oauth2redirect",
        "com.example.app://cb",
    ] {
        assert_eq!(check_redirect_uri(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "/cb",
        "app.example/cb",
        "http://app.example/cb",
        "http://127.0.0.2/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost.evil.example/cb",
        "https://app.example/cb#fragment",
        "https://app.example/cb#",
        "https://user@app.example/cb",
        "https://user:pw@app.example/cb",
        "https://*.app.example/cb",
        "https://app.example\\@evil.example/",
        "https:app.example/cb",
        "https:/app.example/cb",
        "https:///app.example/cb",
        "https://app.example/c b",
        "https://app.example/\u{fc}",
        "https://app.example/\r\nX: y",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "myapp://cb",
        "urn:ietf:wg:oauth:2.0:oob",
    ] {
        assert!(check_redirect_uri(bad).is_err(), "{bad}");
    }
    let long = format!("https://app.example/{}", "x".repeat(URI_BYTES_MAX));
    assert!(check_redirect_uri(&long).is_err());
}

#[test]
fn what_is_usual_is_registered() {
    assert_eq!(fields(json!({})), [""; 0]);
    let web = json!({
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": ["https://app.example/cb"],
        "jwks_uri": "https://app.example/jwks", "token_endpoint_auth_method": "private_key_jwt",
        "backchannel_logout_uri": "https://app.example/logout", "scope": "openid pets:read",
        "client_uri": "https://app.example", "contacts": ["ops@app.example"],
    });
    assert_eq!(fields(web), [""; 0]);
    let native = json!({
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://127.0.0.1/cb", "com.example.app:/cb"], "dpop_bound_access_tokens": true,
    });
    assert_eq!(fields(native), [""; 0]);
    let certificate = json!({
        "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "client.example",
        "tls_client_certificate_bound_access_tokens": true,
    });
    assert_eq!(fields(certificate), [""; 0]);
}

#[test]
fn what_makes_no_sense_is_told_all_at_once() {
    let wrong = json!({
        "token_endpoint_auth_method": "none", "require_pkce": false,
        "grant_types": ["authorization_code", "client_credentials"],
        "redirect_uris": [], "post_logout_redirect_uris": ["http://app.example/"],
        "jwks": {"keys": []}, "jwks_uri": "ftp://app.example/jwks",
        "tls_client_auth_san_dns": "x", "dpop_bound_access_tokens": true,
        "tls_client_certificate_bound_access_tokens": true, "access_token_lifetime_s": 0,
        "scope": "a\"b", "logo_uri": "javascript:alert(1)", "contacts": [""],
    });
    let mut found = fields(wrong);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "access_token_lifetime_s",
            "contacts",
            "dpop_bound_access_tokens",
            "grant_types",
            "jwks",
            "jwks",
            "jwks_uri",
            "logo_uri",
            "post_logout_redirect_uris",
            "redirect_uris",
            "require_pkce",
            "scope",
            "token_endpoint_auth_method",
        ]
    );
}

#[test]
fn methods_need_what_they_prove_by() {
    let of = |method: &str| fields(json!({"token_endpoint_auth_method": method}));
    for method in [
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ] {
        assert_eq!(of(method), ["token_endpoint_auth_method"], "{method}");
    }
    assert_eq!(of("none"), ["grant_types"], "client_credentials");
    assert_eq!(fields(json!({"grant_types": []})), ["grant_types"]);
    assert_eq!(
        fields(json!({"grant_types": ["refresh_token"]})),
        ["grant_types"]
    );
    let lost = json!({"jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}]}});
    assert_eq!(fields(lost), ["jwks"], "a private key");
    let day = json!({"access_token_lifetime_s": DAY_S, "refresh_token_lifetime_s": 90 * DAY_S});
    assert_eq!(fields(day), [""; 0]);
    assert_eq!(
        fields(json!({"id_token_lifetime_s": DAY_S + 1})),
        ["id_token_lifetime_s"]
    );
}
