//! Clients of other issuers: registered there, and made known here, so that their tokens are an application's.

use std::collections::BTreeSet;

use axum::response::Response;
use spec::Kind;
use store::{
    AuthMethod, Client, ClientMetadata, Credential, CredentialKind, RESIDENT, Role, Write,
};

use super::{application, checked_name, made, room_for_one_more};
use crate::Control;
use crate::api::{ClientRequest, NewClient, Waiting};
use crate::http::{ApiError, ApiResult, Caller};

/// The longest id of a client, in bytes.
const ID_BYTES_MAX: usize = 256;

/// Whether this client is one of another issuer.
pub(super) fn is_outside(credential: &Credential) -> bool {
    let client = credential.client();
    client.is_some_and(|client| client.issuer != RESIDENT)
}

/// Makes a client of another issuer known. Admins alone may: nothing proves whose client it is, and all its calls are the application's.
pub(super) async fn create(
    control: &Control,
    caller: &Caller,
    (name, issuer): (&str, String),
    wish: ClientRequest,
    waiting: Waiting,
) -> ApiResult<Response> {
    caller.require(&[Role::Admin])?;
    let client_id = checked(&wish)?;
    let label = checked_name(wish.name)?;
    let writing = control.writing().await?;
    let catalogue = control.hub().catalogue(&caller.org).await?;
    if catalogue.get(Kind::TokenIssuer, &issuer).is_none() {
        let detail = format!("there is no TokenIssuer `{issuer}`; apply its document first");
        return Err(ApiError::bad_request(detail));
    }
    let application = application(control, caller, name).await?;
    room_for_one_more(control, application).await?;
    let now_unix_ms = control.clock().unix_ms();
    let credential = Credential {
        id: base::CredentialId::generate(),
        org: caller.org.clone(),
        application,
        name: label,
        kind: CredentialKind::Client(Box::new(Client {
            client_id: client_id.clone(),
            issuer,
            registration: None,
            // It gets nothing from the platform.
            metadata: ClientMetadata {
                token_endpoint_auth_method: AuthMethod::None,
                grant_types: BTreeSet::new(),
                ..ClientMetadata::default()
            },
        })),
        environment: wish.environment.into(),
        secrets: Vec::new(),
        created_unix_ms: now_unix_ms,
        updated_unix_ms: now_unix_ms,
        expires_unix_s: None,
        used_unix_s: None,
    };
    let answer = NewClient {
        id: credential.id.to_string(),
        client_id,
        client_secret: None,
    };
    let put = Write::CredentialPut(credential);
    made(control, caller, (writing, put), waiting, answer).await
}

fn checked(wish: &ClientRequest) -> ApiResult<String> {
    let id = wish.client_id.clone().unwrap_or_default();
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!(
            "`clientId` is the client's id at its issuer, of 1 to {ID_BYTES_MAX} bytes"
        )));
    }
    if wish.metadata != ClientMetadata::default() || wish.expires_in.is_some() {
        return Err(ApiError::bad_request(
            "`metadata` and `expiresIn` of a client of another issuer are that issuer's matter",
        ));
    }
    Ok(id)
}
