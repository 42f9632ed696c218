//! Authorization requests: read strictly, checked before anybody is asked anything.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::clients::{Client, GrantType};

use super::parameters::Parameters;

/// The longest `state` and `nonce`, in bytes: browsers carry them along.
const OPAQUE_BYTES_MAX: usize = 2048;
/// The most resources that one request names.
const RESOURCES_MAX: usize = 16;

/// How the client wants its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// As a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// What the parameter `prompt` asks for (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the values of `prompt` are a set"
)]
pub(crate) struct Prompt {
    /// No page may be shown.
    pub(crate) none: bool,
    /// The user has to log in, logged in or not.
    pub(crate) login: bool,
    /// The user has to be asked for consent.
    pub(crate) consent: bool,
    /// The user may choose another account.
    pub(crate) select_account: bool,
}

/// An authorization request whose client and redirect URI were found sound.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// Whether the request named it; else it is the only one that is registered.
    pub(crate) redirect_uri_named: bool,
    pub(crate) response_mode: ResponseMode,
    pub(crate) state: Option<String>,
    /// `None` = all that the client may have.
    pub(crate) scopes: Option<BTreeSet<String>>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) prompt: Prompt,
    pub(crate) max_age: Option<u64>,
    pub(crate) login_hint: Option<String>,
    /// The user that the client expects: of `id_token_hint`, or of the claim `sub`.
    pub(crate) expected_sub: Option<String>,
    pub(crate) ui_locales: Option<String>,
    pub(crate) claims: Option<Value>,
    pub(crate) resources: BTreeSet<String>,
    pub(crate) dpop_jkt: Option<String>,
}

/// Where the answer to a request goes, known before the rest of it is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Return {
    pub(crate) redirect_uri: String,
    pub(crate) named: bool,
    pub(crate) response_mode: ResponseMode,
    pub(crate) state: Option<String>,
}

/// Why a request is refused, told to the client (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) error: &'static str,
    pub(crate) description: String,
}

impl Refusal {
    pub(crate) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
        }
    }

    pub(crate) fn invalid(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

/// The redirect URI of a request, which must be one that is registered (req: S8).
///
/// # Errors
/// A text for developers; nothing may be sent anywhere then.
pub(crate) fn find_return(parameters: &Parameters, client: &Client) -> Result<Return, String> {
    let registered = &client.metadata.redirect_uris;
    let (redirect_uri, named) = match (parameters.get("redirect_uri"), registered.as_slice()) {
        (Some(uri), _) => {
            if !registered.iter().any(|known| same_redirect(known, uri)) {
                return Err("redirect_uri is not one that the client registered".to_owned());
            }
            (uri.to_owned(), true)
        }
        (None, [only]) => (only.clone(), false),
        (None, _) => {
            return Err("redirect_uri is missing, and the client has not exactly one".to_owned());
        }
    };
    // What is registered was checked; a fragment or a line break would let the answer end somewhere else.
    if redirect_uri.contains('#') || redirect_uri.bytes().any(|byte| byte <= b' ' || byte == 127) {
        return Err("redirect_uri holds a fragment, a blank or a control character".to_owned());
    }
    let response_mode = match parameters.get("response_mode") {
        Some("form_post") => ResponseMode::FormPost,
        _ => ResponseMode::Query,
    };
    Ok(Return {
        redirect_uri,
        named,
        response_mode,
        state: parameters.get("state").map(str::to_owned),
    })
}

/// Whether a URI is the registered one: byte for byte, or, on a loopback address, but for its port (RFC 8252 §7.3).
pub(crate) fn same_redirect(registered: &str, presented: &str) -> bool {
    if registered == presented {
        return true;
    }
    match (loopback(registered), loopback(presented)) {
        (Some(registered), Some(presented)) => registered == presented,
        _ => false,
    }
}

/// A loopback URI without its port. `localhost` is none: it is a name, and names can lead elsewhere (RFC 8252 §8.3).
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let host = ["http://127.0.0.1", "http://[::1]"]
        .into_iter()
        .find(|host| uri.starts_with(host))?;
    let rest = &uri[host.len()..];
    let Some(port) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest));
    };
    let end = port.find(['/', '?']).unwrap_or(port.len());
    let (digits, rest) = port.split_at(end);
    let sound = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (sound && digits.parse::<u16>().is_ok()).then_some((host, rest))
}

/// Reads the rest of a request.
///
/// # Errors
/// [`Refusal`], to be sent to the client.
pub(crate) fn read(
    parameters: &Parameters,
    client: &Client,
    to: Return,
) -> Result<AuthorizationRequest, Refusal> {
    if !client.metadata.may(GrantType::AuthorizationCode) {
        let text = "the client is not registered for authorization_code";
        return Err(Refusal::new("unauthorized_client", text));
    }
    if parameters.get("request").is_some() {
        let text = "request objects are not taken: push the request (RFC 9126)";
        return Err(Refusal::new("request_not_supported", text));
    }
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => {
            let text = "the only response_type is code";
            return Err(Refusal::new("unsupported_response_type", text));
        }
        None => return Err(Refusal::invalid("response_type is missing")),
    }
    if !matches!(
        parameters.get("response_mode"),
        None | Some("query" | "form_post")
    ) {
        return Err(Refusal::invalid("response_mode is query or form_post"));
    }
    for name in ["state", "nonce", "login_hint", "ui_locales", "acr_values"] {
        if parameters
            .get(name)
            .is_some_and(|value| value.len() > OPAQUE_BYTES_MAX)
        {
            let text = format!("{name} is longer than {OPAQUE_BYTES_MAX} bytes");
            return Err(Refusal::invalid(text));
        }
    }
    let scopes = parameters.get("scope").map(read_scopes).transpose()?;
    let claims = parameters.get("claims").map(read_claims).transpose()?;
    let nonce = parameters.get("nonce").map(str::to_owned);
    let challenge = read_challenge(parameters, client)?;
    let openid = scopes
        .as_ref()
        .is_none_or(|scopes| scopes.contains("openid"));
    if challenge.is_none() && openid && nonce.is_none() {
        // RFC 9700 §2.1.1: one of the two protects the code.
        return Err(Refusal::invalid(
            "without a code_challenge a nonce is needed",
        ));
    }
    Ok(AuthorizationRequest {
        client_id: client.client_id.clone(),
        redirect_uri: to.redirect_uri,
        redirect_uri_named: to.named,
        response_mode: to.response_mode,
        state: to.state,
        expected_sub: claims.as_ref().and_then(expected_sub),
        scopes,
        nonce,
        challenge,
        prompt: read_prompt(parameters.get("prompt"))?,
        max_age: read_max_age(parameters.get("max_age"))?.or(client.metadata.default_max_age),
        login_hint: parameters.get("login_hint").map(str::to_owned),
        ui_locales: parameters.get("ui_locales").map(str::to_owned),
        claims,
        resources: read_resources(parameters)?,
        dpop_jkt: read_thumbprint(parameters.get("dpop_jkt"))?,
    })
}

fn read_scopes(list: &str) -> Result<BTreeSet<String>, Refusal> {
    let token = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if !list.split(' ').all(token) {
        let text = "scope is not a list of names separated by single spaces (RFC 6749 section 3.3)";
        return Err(Refusal::new("invalid_scope", text));
    }
    Ok(list.split(' ').map(str::to_owned).collect())
}

/// The PKCE challenge (RFC 7636 §4.3): S256 alone, for all clients but confidential ones that opted out.
fn read_challenge(parameters: &Parameters, client: &Client) -> Result<Option<String>, Refusal> {
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.get("code_challenge") else {
        if client.metadata.needs_pkce() || method.is_some() {
            return Err(Refusal::invalid("code_challenge is missing (RFC 7636)"));
        }
        return Ok(None);
    };
    // No method means `plain` (RFC 7636 §4.3), which shows the verifier to whoever sees the request.
    if method != Some("S256") {
        return Err(Refusal::invalid("code_challenge_method has to be S256"));
    }
    if !is_sha256(challenge) {
        return Err(Refusal::invalid(
            "code_challenge is no SHA-256 in base64url",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

/// 32 bytes in base64url without padding.
fn is_sha256(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 32)
}

fn read_thumbprint(jkt: Option<&str>) -> Result<Option<String>, Refusal> {
    match jkt {
        Some(jkt) if !is_sha256(jkt) => Err(Refusal::invalid(
            "dpop_jkt is no SHA-256 in base64url (RFC 9449)",
        )),
        other => Ok(other.map(str::to_owned)),
    }
}

fn read_prompt(prompt: Option<&str>) -> Result<Prompt, Refusal> {
    let mut read = Prompt::default();
    for word in prompt.into_iter().flat_map(|list| list.split(' ')) {
        match word {
            "none" => read.none = true,
            "login" => read.login = true,
            "consent" => read.consent = true,
            "select_account" => read.select_account = true,
            _ => {
                let text = "prompt is none, or of login, consent, select_account";
                return Err(Refusal::invalid(text));
            }
        }
    }
    if read.none && (read.login || read.consent || read.select_account) {
        return Err(Refusal::invalid("prompt=none stands alone"));
    }
    Ok(read)
}

fn read_max_age(max_age: Option<&str>) -> Result<Option<u64>, Refusal> {
    let read = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())
    };
    match max_age.map(read) {
        None => Ok(None),
        Some(Some(Some(seconds))) => Ok(Some(seconds)),
        Some(_) => Err(Refusal::invalid("max_age is a number of seconds")),
    }
}

/// The parameter `claims` (OpenID Connect Core §5.5): an object of `userinfo` and `id_token`, each an object.
fn read_claims(text: &str) -> Result<Value, Refusal> {
    let invalid =
        || Refusal::invalid("claims is not the object of OpenID Connect Core section 5.5");
    if text.len() > OPAQUE_BYTES_MAX {
        return Err(invalid());
    }
    let claims: Value = serde_json::from_str(text).map_err(|_| invalid())?;
    let members = claims.as_object().ok_or_else(invalid)?;
    let sound = |name: &str| {
        members
            .get(name)
            .is_none_or(|part| part.is_object() || part.is_null())
    };
    if !sound("userinfo") || !sound("id_token") {
        return Err(invalid());
    }
    Ok(claims)
}

/// OpenID Connect Core §5.5.1: a value for `sub` names the user that the client expects.
fn expected_sub(claims: &Value) -> Option<String> {
    let sub = claims.pointer("/id_token/sub/value")?;
    Some(sub.as_str().unwrap_or_default().to_owned())
}

fn read_resources(parameters: &Parameters) -> Result<BTreeSet<String>, Refusal> {
    let resources: BTreeSet<String> = parameters.resources().iter().cloned().collect();
    if resources.len() > RESOURCES_MAX {
        let text = format!("at most {RESOURCES_MAX} resources can be named");
        return Err(Refusal::new("invalid_target", text));
    }
    Ok(resources)
}

/// Whether the request insists on a class of authentication that there is not (OpenID Connect Core §5.5.1.1).
pub(crate) fn wants_other_acr(claims: Option<&Value>, ours: &str) -> bool {
    let Some(acr) = claims.and_then(|claims| claims.pointer("/id_token/acr")) else {
        return false;
    };
    if acr.get("essential") != Some(&Value::Bool(true)) {
        return false;
    }
    let one = acr.get("value").into_iter();
    let several = acr.get("values").and_then(Value::as_array).into_iter();
    let mut wanted = one.chain(several.flatten()).peekable();
    wanted.peek().is_some() && !wanted.any(|value| value == ours)
}

#[cfg(test)]
mod tests;
