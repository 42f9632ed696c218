//! `tollway app`, `subscription`, `token`

use control::api::{Object, TokenAnswer, TokenRequest, paths};
use serde_json::{Value, json};
use store::RecordKind;

use super::args::{App, AppCreate, Common, Subscription, SubscriptionCreate, Token};
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
