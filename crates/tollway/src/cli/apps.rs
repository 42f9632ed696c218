//! `tollway app`, `subscription`, `credentials`, `apikey`, `token`

use control::api::{
    ApiKeyRequest, ClientRequest, CredentialItem, Environment, NewApiKey, NewClient, Object,
    TokenAnswer, TokenRequest, paths,
};
use serde_json::{Value, json};
use store::RecordKind;

use super::args::{
    ApiKeyCreate, ApiKeys, App, AppCreate, Common, Credentials, CredentialsCreate,
    CredentialsDelete, For, OfApp, Subscription, SubscriptionCreate, Token,
};
use super::failure::Failure;
use super::{apis, client, documents, output, wait_query, waiting_client};

/// Carries out `tollway app …`.
pub(crate) async fn app(command: App) -> Result<(), Failure> {
    match command {
        App::Create(create) => app_create(&create).await,
        App::List(common) => documents::list(RecordKind::Application, &common).await,
        App::Get(one) => documents::get(RecordKind::Application, &one).await,
        App::Delete(gone) => documents::delete(RecordKind::Application, &gone).await,
    }
}

async fn app_create(create: &AppCreate) -> Result<(), Failure> {
    let mut spec = serde_json::Map::new();
    if let Some(description) = &create.description {
        spec.insert("description".into(), json!(description));
    }
    if let Some(lifetime) = &create.token_lifetime {
        spec.insert("tokens".into(), json!({"lifetime": lifetime}));
    }
    let document = json!({"kind": "Application", "metadata": {"name": create.name}, "spec": spec});
    let object = document_create(
        RecordKind::Application,
        &document,
        create.wait,
        &create.common,
    )
    .await?;
    output::one(&object, create.common.output, |object| {
        format!("created application {}", object.name())
    })
}

async fn document_create(
    kind: RecordKind,
    document: &Value,
    wait: super::args::Wait,
    common: &Common,
) -> Result<Object, Failure> {
    let path = paths::collection(kind).to_owned() + &wait_query(wait, '?');
    waiting_client(&common.target, wait)?
        .post(&path, document)
        .await
}

/// Carries out `tollway subscription …`.
pub(crate) async fn subscription(command: Subscription) -> Result<(), Failure> {
    match command {
        Subscription::Create(create) => subscription_create(&create).await,
        Subscription::List(common) => documents::list(RecordKind::Subscription, &common).await,
        Subscription::Get(one) => documents::get(RecordKind::Subscription, &one).await,
        Subscription::Delete(gone) => documents::delete(RecordKind::Subscription, &gone).await,
    }
}

async fn subscription_create(create: &SubscriptionCreate) -> Result<(), Failure> {
    let api = apis::find(&client(&create.common.target)?, &create.api).await?;
    let document = json!({
        "kind": "Subscription",
        "metadata": {"name": format!("{}-{}", create.app, api.name())},
        "spec": {
            "application": create.app,
            "api": {"name": output::text(&api.spec, "/name"), "version": output::text(&api.spec, "/version")},
            "plan": create.plan,
        },
    });
    let object = document_create(
        RecordKind::Subscription,
        &document,
        create.wait,
        &create.common,
    )
    .await?;
    output::one(&object, create.common.output, |_| {
        format!(
            "{} is subscribed to {} under {}",
            create.app, create.api, create.plan
        )
    })
}

/// Carries out `tollway credentials …`.
pub(crate) async fn credentials(command: Credentials) -> Result<(), Failure> {
    match command {
        Credentials::Create(create) => credentials_create(&create).await,
        Credentials::List(of) => credential_list(&paths::credentials(&of.app), &of).await,
        Credentials::Delete(gone) => credential_delete(&paths::credentials(&gone.app), &gone).await,
    }
}

async fn credentials_create(create: &CredentialsCreate) -> Result<(), Failure> {
    let path = paths::credentials(&create.app) + &wait_query(create.wait, '?');
    let request = ClientRequest {
        environment: create.purpose.into(),
    };
    let made: NewClient = waiting_client(&create.common.target, create.wait)?
        .post(&path, &request)
        .await?;
    eprintln!("the secret is shown this once");
    output::one(&made, create.common.output, |made| {
        format!(
            "client id      {}\nclient secret  {}",
            made.client_id,
            made.client_secret.as_deref().unwrap_or("(none)")
        )
    })
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

/// Carries out `tollway apikey …`.
pub(crate) async fn api_keys(command: ApiKeys) -> Result<(), Failure> {
    match command {
        ApiKeys::Create(create) => api_key_create(&create).await,
        ApiKeys::List(of) => credential_list(&paths::api_keys(&of.app), &of).await,
        ApiKeys::Delete(gone) => credential_delete(&paths::api_keys(&gone.app), &gone).await,
    }
}

async fn api_key_create(create: &ApiKeyCreate) -> Result<(), Failure> {
    let path = paths::api_keys(&create.app) + &wait_query(create.wait, '?');
    let request = ApiKeyRequest {
        expires_in: create.expires_in.map(|span| span.0.as_secs()),
        environment: create.purpose.into(),
    };
    let made: NewApiKey = waiting_client(&create.common.target, create.wait)?
        .post(&path, &request)
        .await?;
    eprintln!("the key is shown this once");
    output::one(&made, create.common.output, |made| made.key.clone())
}

async fn credential_list(path: &str, of: &OfApp) -> Result<(), Failure> {
    let items: Vec<CredentialItem> = client(&of.common.target)?.list(path).await?;
    output::list(
        &items,
        of.common.output,
        &[
            "ID",
            "CLIENT ID / PREFIX",
            "ENVIRONMENT",
            "CREATED",
            "EXPIRES",
        ],
        |item| {
            let shown = item
                .client_id
                .clone()
                .or_else(|| item.prefix.clone())
                .unwrap_or_default();
            let expires = item
                .expires_unix_s
                .map(|s| output::time(s.saturating_mul(1000)))
                .unwrap_or_default();
            vec![
                item.id.clone(),
                shown,
                base::Environment::from(item.environment).to_string(),
                output::time(item.created_unix_ms),
                expires,
            ]
        },
    )
}

async fn credential_delete(path: &str, gone: &CredentialsDelete) -> Result<(), Failure> {
    let path = format!(
        "{path}/{}{}",
        paths::escaped(&gone.id),
        wait_query(gone.wait, '?')
    );
    waiting_client(&gone.target, gone.wait)?
        .delete(&path)
        .await?;
    eprintln!("revoked {}", gone.id);
    Ok(())
}

/// Carries out `tollway token`.
pub(crate) async fn token(token: Token) -> Result<(), Failure> {
    let scopes = Some(token.scopes).filter(|scopes| !scopes.is_empty());
    let request = TokenRequest {
        scopes,
        environment: token.purpose.into(),
    };
    let client = client(&token.common.target)?;
    let answer: TokenAnswer = client.post(&paths::token(&token.app), &request).await?;
    output::one(&answer, token.common.output, |answer| {
        answer.access_token.clone()
    })
}
