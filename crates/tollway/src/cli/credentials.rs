//! `tollway credentials`, `tollway apikey`

mod args;

use std::path::Path;

use control::api::{
    AllowedCall, ApiKeyChange, ApiKeyLimits, ApiKeyRequest, ClientChange as ClientPatch,
    ClientRequest, CredentialItem, Environment, List, NewApiKey, NewClient, RotateRequest, paths,
};
use serde_json::{Value, json};
use store::ClientMetadata;

pub(super) use args::{ApiKeys, Credentials};
use args::{
    ClientChange, ClientCreate, EndSecret, Gone, KeyChange, KeyCreate, KeyLimitsOf, ListOf, One,
    Registered, Rotate, Which,
};

use super::args::{For, Wait};
use super::failure::Failure;
use super::{client, output, wait_query, waiting_client};

/// Where the credentials of one kind are.
type Paths = fn(&str) -> String;

/// Carries out `tollway credentials …`.
pub(crate) async fn clients(command: Credentials) -> Result<(), Failure> {
    let at: Paths = paths::credentials;
    match command {
        Credentials::Create(create) => client_create(&create).await,
        Credentials::List(of) => list(at, true, &of).await,
        Credentials::Get(one) => get(at, &one).await,
        Credentials::Change(change) => client_change(&change).await,
        Credentials::Rotate(rotate) => {
            let made: NewClient = rotated(at, &rotate).await?;
            output::one(&made, rotate.common.output, shown)
        }
        Credentials::EndSecret(end) => end_secret(at, &end).await,
        Credentials::Delete(gone) => delete(at, &gone).await,
    }
}

/// Carries out `tollway apikey …`.
pub(crate) async fn api_keys(command: ApiKeys) -> Result<(), Failure> {
    let at: Paths = paths::api_keys;
    match command {
        ApiKeys::Create(create) => key_create(&create).await,
        ApiKeys::List(of) => list(at, false, &of).await,
        ApiKeys::Get(one) => get(at, &one).await,
        ApiKeys::Change(change) => key_change(&change).await,
        ApiKeys::Rotate(rotate) => {
            let made: NewApiKey = rotated(at, &rotate).await?;
            output::one(&made, rotate.common.output, |made| made.key.clone())
        }
        ApiKeys::EndSecret(end) => end_secret(at, &end).await,
        ApiKeys::Delete(gone) => delete(at, &gone).await,
    }
}

async fn client_create(create: &ClientCreate) -> Result<(), Failure> {
    let path = paths::credentials(&create.app) + &wait_query(create.wait, '?');
    let request = ClientRequest {
        environment: create.purpose.into(),
        name: create.name.clone(),
        expires_in: create.expires_in.map(|span| span.0.as_secs()),
        metadata: metadata(json!({}), &create.registered)?,
        issuer: create.issuer.clone(),
        client_id: create.client_id.clone(),
    };
    let made: NewClient = waiting_client(&create.common.target, create.wait)?
        .post(&path, &request)
        .await?;
    if made.client_secret.is_some() {
        eprintln!("the secret is shown this once");
    }
    output::one(&made, create.common.output, shown)
}

fn shown(made: &NewClient) -> String {
    let secret = made.client_secret.as_deref();
    let secret = secret.map(|secret| format!("\nclient secret  {secret}"));
    format!(
        "client id      {}{}",
        made.client_id,
        secret.unwrap_or_default()
    )
}

async fn client_change(change: &ClientChange) -> Result<(), Failure> {
    let path = one_path(paths::credentials, &change.which);
    let session = waiting_client(&change.common.target, change.wait)?;
    let now: CredentialItem = session.get(&path).await?;
    let issuer = now.issuer;
    let present = serde_json::to_value(now.metadata).map_err(|error| unreadable(&error))?;
    let request = ClientPatch {
        name: change.name.clone(),
        expires_in: change.expires_in.map(|span| span.0.as_secs()),
        metadata: match issuer {
            None => Some(metadata(present, &change.registered)?),
            Some(_) => None,
        },
    };
    let path = path + &wait_query(change.wait, '?');
    let item: CredentialItem = session.patch(&path, &request).await?;
    output::one(&item, change.common.output, told)
}

/// What is registered: what there is, then the file, then the flags.
fn metadata(present: Value, of: &Registered) -> Result<ClientMetadata, Failure> {
    let mut members = present;
    if let Some(path) = &of.metadata {
        let Value::Object(file) = json_file(path)? else {
            return Err(Failure::Usage(format!(
                "{}: a JSON object is expected",
                path.display()
            )));
        };
        for (name, value) in file {
            members[name] = value;
        }
    }
    let mut put = |name: &str, value: Value| members[name] = value;
    let lists = [
        ("redirect_uris", &of.redirect_uris),
        ("post_logout_redirect_uris", &of.post_logout_redirect_uris),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        put(name, json!(list));
    }
    if !of.grants.is_empty() {
        let grants: Vec<String> = of.grants.iter().map(|grant| whole_grant(grant)).collect();
        put("grant_types", json!(grants));
    }
    if !of.scopes.is_empty() {
        put("scope", json!(of.scopes.join(" ")));
    }
    let texts = [
        ("token_endpoint_auth_method", &of.auth_method),
        ("jwks_uri", &of.jwks_uri),
        ("access_token_format", &of.token_format),
        ("id_token_signed_response_alg", &of.signed_with),
        ("access_token_signed_response_alg", &of.signed_with),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            put(name, json!(text));
        }
    }
    if let Some(path) = &of.jwks {
        put("jwks", json_file(path)?);
    }
    if let Some(lifetime) = of.token_lifetime {
        put("access_token_lifetime_s", json!(lifetime.0.as_secs()));
    }
    let flags = [
        (
            "require_pushed_authorization_requests",
            of.require_par,
            true,
        ),
        ("dpop_bound_access_tokens", of.dpop, true),
        (
            "tls_client_certificate_bound_access_tokens",
            of.certificate_bound,
            true,
        ),
        ("require_pkce", of.no_pkce, false),
        ("skip_consent", of.skip_consent, true),
    ];
    for (name, _, value) in flags.into_iter().filter(|(_, given, _)| *given) {
        put(name, json!(value));
    }
    serde_json::from_value(members).map_err(|error| unreadable(&error))
}

/// The long names of grants need not be written out.
fn whole_grant(name: &str) -> String {
    match name {
        "device_code" | "device-code" => "urn:ietf:params:oauth:grant-type:device_code".to_owned(),
        "token-exchange" | "token_exchange" => {
            "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()
        }
        other => other.to_owned(),
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::Usage(format!("the client's metadata: {error}"))
}

fn json_file(path: &Path) -> Result<Value, Failure> {
    let wrong = |error: String| Failure::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

impl From<For> for Environment {
    fn from(purpose: For) -> Self {
        if purpose.sandbox {
            Self::Sandbox
        } else {
            Self::Production
        }
    }
}

async fn key_create(create: &KeyCreate) -> Result<(), Failure> {
    let path = paths::api_keys(&create.app) + &wait_query(create.wait, '?');
    let request = ApiKeyRequest {
        expires_in: create.expires_in.map(|span| span.0.as_secs()),
        environment: create.purpose.into(),
        name: create.name.clone(),
        limits: limits(&create.limits),
    };
    let made: NewApiKey = waiting_client(&create.common.target, create.wait)?
        .post(&path, &request)
        .await?;
    eprintln!("the key is shown this once");
    output::one(&made, create.common.output, |made| made.key.clone())
}

async fn key_change(change: &KeyChange) -> Result<(), Failure> {
    let path = one_path(paths::api_keys, &change.which) + &wait_query(change.wait, '?');
    let wanted = limits(&change.limits);
    let limits = (change.unlimited || wanted != ApiKeyLimits::default()).then_some(wanted);
    let request = ApiKeyChange {
        name: change.name.clone(),
        expires_in: change.expires_in.map(|span| span.0.as_secs()),
        limits,
    };
    let item: CredentialItem = waiting_client(&change.common.target, change.wait)?
        .patch(&path, &request)
        .await?;
    output::one(&item, change.common.output, told)
}

fn limits(of: &KeyLimitsOf) -> ApiKeyLimits {
    let call = |text: &String| match text.split_once(':') {
        Some((api, operation)) => AllowedCall {
            api: api.to_owned(),
            operation: Some(operation.to_owned()),
        },
        None => AllowedCall {
            api: text.clone(),
            operation: None,
        },
    };
    ApiKeyLimits {
        ip_ranges: of.ip_ranges.clone(),
        operations: of.operations.iter().map(call).collect(),
        scopes: Some(of.scopes.clone()).filter(|scopes| !scopes.is_empty()),
    }
}

async fn list(at: Paths, clients: bool, of: &ListOf) -> Result<(), Failure> {
    let within = of
        .expiring
        .map(|span| format!("?expiringIn={}", span.0.as_secs()));
    let path = of
        .app
        .as_deref()
        .map_or_else(|| paths::EXPIRING.to_owned(), at);
    let path = path + &within.unwrap_or_default();
    let mut items = client(&of.common.target)?
        .get::<List<CredentialItem>>(&path)
        .await?
        .items;
    items.retain(|item| item.client_id.is_some() == clients);
    let columns = [
        "ID",
        "CLIENT ID / PREFIX",
        "NAME",
        "APPLICATION",
        "ENVIRONMENT",
        "CREATED",
        "EXPIRES",
        "LAST USED",
    ];
    output::list(&items, of.common.output, &columns, |item| {
        let shown = item.client_id.clone().or_else(|| item.prefix.clone());
        let app = item.application.clone().or_else(|| of.app.clone());
        vec![
            item.id.clone(),
            shown.unwrap_or_default(),
            item.name.clone(),
            app.unwrap_or_default(),
            base::Environment::from(item.environment).to_string(),
            output::time(item.created_unix_ms),
            ends(item),
            seconds(item.last_used_unix_s),
        ]
    })
}

/// When it ends, and when its older secret does.
fn ends(item: &CredentialItem) -> String {
    let own = seconds(item.expires_unix_s);
    let old = item
        .secrets
        .iter()
        .filter_map(|one| one.expires_unix_s)
        .min();
    match old {
        None => own,
        Some(_) if item.secrets.len() > 1 => format!("{own} (old secret: {})", seconds(old))
            .trim_start()
            .to_owned(),
        Some(_) => seconds(old.min(item.expires_unix_s.or(old))),
    }
}

fn seconds(unix_s: Option<u64>) -> String {
    unix_s
        .map(|s| output::time(s.saturating_mul(1000)))
        .unwrap_or_default()
}

async fn get(at: Paths, one: &One) -> Result<(), Failure> {
    let path = one_path(at, &one.which);
    let item: CredentialItem = client(&one.common.target)?.get(&path).await?;
    output::one(&item, one.common.output, told)
}

/// All that is known of a credential, for people.
fn told(item: &CredentialItem) -> String {
    serde_json::to_string_pretty(item).unwrap_or_default()
}

async fn rotated<T: serde::de::DeserializeOwned>(at: Paths, of: &Rotate) -> Result<T, Failure> {
    let path = one_path(at, &of.which) + "/rotate" + &wait_query(of.wait, '?');
    let request = RotateRequest {
        old_for: Some(of.old_until.0.as_secs()),
    };
    let made = waiting_client(&of.common.target, of.wait)?
        .post(&path, &request)
        .await?;
    eprintln!("the new one is shown this once");
    Ok(made)
}

async fn end_secret(at: Paths, end: &EndSecret) -> Result<(), Failure> {
    let path = one_path(at, &end.which) + "/secrets/" + &paths::escaped(&end.secret);
    removed(&path, end.wait, &end.target).await?;
    eprintln!("ended {}", end.secret);
    Ok(())
}

async fn delete(at: Paths, gone: &Gone) -> Result<(), Failure> {
    removed(&one_path(at, &gone.which), gone.wait, &gone.target).await?;
    eprintln!("revoked {}", gone.which.id);
    Ok(())
}

async fn removed(path: &str, wait: Wait, target: &super::args::Target) -> Result<(), Failure> {
    let path = path.to_owned() + &wait_query(wait, '?');
    waiting_client(target, wait)?.delete(&path).await
}

fn one_path(at: Paths, which: &Which) -> String {
    format!("{}/{}", at(&which.app), paths::escaped(&which.id))
}
