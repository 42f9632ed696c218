use super::*;
use store::clients::{AuthMethod, ClientMetadata};

const CALLBACK: &str = "https://app.example/cb?x=1";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn client(change: impl FnOnce(&mut ClientMetadata)) -> Client {
    let mut metadata = ClientMetadata {
        token_endpoint_auth_method: AuthMethod::None,
        grant_types: [GrantType::AuthorizationCode].into(),
        redirect_uris: vec![CALLBACK.to_owned()],
        ..ClientMetadata::default()
    };
    change(&mut metadata);
    Client {
        client_id: "app".to_owned(),
        issuer: store::clients::RESIDENT.to_owned(),
        registration: None,
        metadata,
    }
}

fn parameters(text: &str) -> Parameters {
    Parameters::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
}

fn read_for(client: &Client, text: &str) -> Result<AuthorizationRequest, &'static str> {
    let parameters = parameters(text);
    let to = find_return(&parameters, client).unwrap();
    read(&parameters, client, to).map_err(|refusal| refusal.error)
}

fn sound(more: &str) -> String {
    format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256&{more}")
}

/// req: S8
#[test]
fn a_redirect_uri_is_a_registered_one_byte_for_byte() {
    for (registered, presented, same) in [
        ("https://app.example/cb", "https://app.example/cb", true),
        ("https://app.example/cb", "https://app.example/cb/", false),
        ("https://app.example/cb", "https://app.example/CB", false),
        ("https://app.example/cb", "https://APP.example/cb", false),
        (
            "https://app.example/cb",
            "https://app.example:443/cb",
            false,
        ),
        ("https://app.example/cb", "https://app.example/cb?", false),
        ("https://app.example/cb", "https://app.example/cb#", false),
        (
            "https://app.example/cb",
            "https://app.example/x/../cb",
            false,
        ),
        ("https://app.example/cb", "https://app.example/%63b", false),
        (
            "https://app.example/cb",
            "https://app.example@evil.example/cb",
            false,
        ),
        (
            "https://app.example/cb",
            "https://app.example.evil.example/cb",
            false,
        ),
        ("https://app.example/cb", "http://app.example/cb", false),
        (
            "https://app.example/cb",
            "https://app.example\\@evil.example/cb",
            false,
        ),
        ("https://app.example/cb", " https://app.example/cb", false),
        ("https://app.example/*", "https://app.example/cb", false),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8123/cb", true),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:8123/cb", true),
        ("http://[::1]/cb", "http://[::1]:8123/cb", true),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8123/cd", false),
        ("http://127.0.0.1/cb", "http://[::1]:8123/cb", false),
        ("http://127.0.0.1/cb", "https://127.0.0.1:8123/cb", false),
        ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb", false),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", false),
        (
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1@evil.example/cb",
            false,
        ),
        (
            "http://127.0.0.1/cb",
            "http://127.0.0.1.evil.example/cb",
            false,
        ),
        (
            "http://127.0.0.1",
            "http://127.0.0.1:80.evil.example",
            false,
        ),
        ("http://localhost/cb", "http://localhost:8123/cb", false),
    ] {
        assert_eq!(
            same_redirect(registered, presented),
            same,
            "{registered} {presented}"
        );
    }
}

#[test]
fn without_a_redirect_uri_the_only_one_counts() {
    let one = client(|_| {});
    let found = find_return(&parameters(""), &one).unwrap();
    assert_eq!(
        (found.redirect_uri.as_str(), found.named),
        (CALLBACK, false)
    );
    let two = client(|metadata| metadata.redirect_uris.push("https://b.example/".to_owned()));
    assert!(find_return(&parameters(""), &two).is_err());
    let none = client(|metadata| metadata.redirect_uris.clear());
    assert!(find_return(&parameters(""), &none).is_err());
    let broken =
        client(|metadata| metadata.redirect_uris = vec!["https://a.example/#f".to_owned()]);
    assert!(find_return(&parameters(""), &broken).is_err());
}

#[test]
fn a_request_is_read_whole() {
    let text = sound(
        "scope=openid+read&state=s&nonce=n&prompt=login+consent&max_age=0&login_hint=ada&ui_locales=de\
         &resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example&claims=%7B%22id_token%22%3A\
         %7B%22sub%22%3A%7B%22value%22%3A%22u1%22%7D%7D%7D",
    );
    let request = read_for(&client(|_| {}), &text).unwrap();
    assert_eq!(request.scopes.unwrap().len(), 2);
    assert_eq!(request.challenge.as_deref(), Some(CHALLENGE));
    assert!(request.prompt.login && request.prompt.consent && !request.prompt.none);
    assert_eq!(request.max_age, Some(0));
    assert_eq!(request.resources.len(), 2);
    assert_eq!(request.expected_sub.as_deref(), Some("u1"));
    assert_eq!(request.state.as_deref(), Some("s"));
}

/// RFC 9700 §2.1.1 and RFC 7636 §4.4.1: no way around S256.
#[test]
fn pkce_cannot_be_downgraded() {
    let public = client(|_| {});
    let confidential = |opted_out: bool| {
        client(|metadata| {
            metadata.token_endpoint_auth_method = AuthMethod::ClientSecretBasic;
            metadata.require_pkce = !opted_out;
        })
    };
    let code = "response_type=code&scope=read";
    let plain = format!("{code}&code_challenge={CHALLENGE}&code_challenge_method=plain");
    let no_method = format!("{code}&code_challenge={CHALLENGE}");
    let no_challenge = format!("{code}&code_challenge_method=S256");
    let short = format!("{code}&code_challenge=abc&code_challenge_method=S256");
    for client in [&public, &confidential(false), &confidential(true)] {
        for text in [&plain, &no_method, &no_challenge, &short] {
            assert_eq!(read_for(client, text), Err("invalid_request"), "{text}");
        }
    }
    assert_eq!(read_for(&public, code), Err("invalid_request"));
    let forced = client(|metadata| metadata.require_pkce = false);
    assert_eq!(
        read_for(&forced, code),
        Err("invalid_request"),
        "a public client cannot opt out"
    );
    assert_eq!(read_for(&confidential(false), code), Err("invalid_request"));
    assert!(read_for(&confidential(true), code).is_ok());
    let openid = "response_type=code&scope=openid";
    assert_eq!(
        read_for(&confidential(true), openid),
        Err("invalid_request")
    );
    assert!(read_for(&confidential(true), &format!("{openid}&nonce=n")).is_ok());
}

#[test]
fn each_fault_has_its_error() {
    let app = client(|_| {});
    for (more, error) in [
        ("request=x.y.z", "request_not_supported"),
        ("response_mode=fragment", "invalid_request"),
        ("response_mode=query.jwt", "invalid_request"),
        ("prompt=none+login", "invalid_request"),
        ("prompt=create", "invalid_request"),
        ("max_age=-1", "invalid_request"),
        ("max_age=%2B1", "invalid_request"),
        ("max_age=99999999999999999999", "invalid_request"),
        ("scope=a++b", "invalid_scope"),
        ("scope=a%22", "invalid_scope"),
        ("claims=%5B%5D", "invalid_request"),
        ("claims=%7B%22id_token%22%3A1%7D", "invalid_request"),
        ("dpop_jkt=short", "invalid_request"),
    ] {
        assert_eq!(read_for(&app, &sound(more)), Err(error), "{more}");
    }
    let long = format!("state={}", "x".repeat(2049));
    assert_eq!(read_for(&app, &sound(&long)), Err("invalid_request"));
    let many: Vec<_> = (0..17)
        .map(|number| format!("resource=u:{number}"))
        .collect();
    assert_eq!(
        read_for(&app, &sound(&many.join("&"))),
        Err("invalid_target")
    );
    for (text, error) in [
        ("", "invalid_request"),
        ("response_type=token", "unsupported_response_type"),
        ("response_type=code+id_token", "unsupported_response_type"),
    ] {
        assert_eq!(read_for(&app, text), Err(error), "{text}");
    }
    let other = client(|metadata| metadata.grant_types = [GrantType::DeviceCode].into());
    assert_eq!(read_for(&other, &sound("")), Err("unauthorized_client"));
    assert!(Parameters::parse(b"client_id=a&client_id=b").is_err());
}

#[test]
fn an_acr_is_insisted_on_only_where_it_is_essential() {
    let wants = |text: &str| wants_other_acr(Some(&serde_json::from_str(text).unwrap()), "ours");
    assert!(!wants_other_acr(None, "ours"));
    assert!(!wants(r#"{"id_token": {"acr": null}}"#));
    assert!(!wants(r#"{"id_token": {"acr": {"values": ["other"]}}}"#));
    assert!(!wants(r#"{"id_token": {"acr": {"essential": true}}}"#));
    assert!(!wants(
        r#"{"id_token": {"acr": {"essential": true, "values": ["other", "ours"]}}}"#
    ));
    assert!(wants(
        r#"{"id_token": {"acr": {"essential": true, "values": ["other"]}}}"#
    ));
    assert!(wants(
        r#"{"id_token": {"acr": {"essential": true, "value": "other"}}}"#
    ));
}
