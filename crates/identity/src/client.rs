//! Client authentication: each client by the one method that it is registered for.
//!
//! `client_secret_jwt` does not exist: it needs the secret itself for every check, and only keyed hashes of secrets are
//! kept.

mod assertion;
mod basic;
mod certificate;
mod keys;

use base::Secret;
use store::clients::RESIDENT;
use store::{AuthMethod, ClientMetadata, Credential};

use crate::IdentityState;
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;

pub use certificate::ClientCertificate;
pub(crate) use keys::ClientKeys;

/// The type of assertions (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client that has proved itself; a public one has only named itself.
pub(crate) struct Client {
    pub(crate) credential: Credential,
    pub(crate) client_id: String,
    /// The certificate of the connection, whatever the client proved itself with.
    pub(crate) certificate: Option<ClientCertificate>,
}

impl Client {
    /// What it is registered with.
    pub(crate) fn metadata(&self) -> &ClientMetadata {
        let client = self.credential.client();
        &client
            .expect("a key is no client, and was refused")
            .metadata
    }
}

/// What a request proves its client with.
enum Presented {
    Secret(AuthMethod, Secret<String>),
    Assertion(String),
    /// Nothing in the request itself: a certificate of the connection, or nothing at all.
    Nothing,
}

impl IdentityState {
    /// The client that sent this request.
    ///
    /// A client uses one way in a request (RFC 6749 §2.3), and no other than the registered one: else a weaker way would
    /// stand open beside a stronger one. What was wrong is not told.
    ///
    /// Source: RFC 6749 §2.3, RFC 7523 §3, RFC 8705 §2, OpenID Connect Core §9.
    pub(crate) async fn client(&self, request: &OAuthRequest) -> Result<Client, OAuthError> {
        let found = self.authenticated(request).await;
        found.inspect_err(|error| {
            if !error.is_unavailable() {
                self.metrics.clients_refused.count();
            }
        })
    }

    async fn authenticated(&self, request: &OAuthRequest) -> Result<Client, OAuthError> {
        let (client_id, presented) = presented(request)?;
        let found = self
            .store
            .client_get(&client_id)
            .await
            .map_err(|error| self.store_failed(&error))?;
        let now = self.clock.unix_s();
        let registered = found
            .as_ref()
            .filter(|credential| credential.is_live(now))
            .and_then(Credential::client)
            .filter(|client| client.issuer == RESIDENT)
            .map(|client| client.metadata.token_endpoint_auth_method);
        let proved = match &presented {
            Presented::Secret(method, secret) => {
                // For every client and for none, so that all cost the same.
                let known = self.secrets.client_secret_of(found.as_ref(), secret, now);
                known.is_some() && registered == Some(*method)
            }
            Presented::Assertion(assertion) => match &found {
                Some(credential) if registered == Some(AuthMethod::PrivateKeyJwt) => {
                    self.assertion_proves(credential, &client_id, assertion, &request.path)
                        .await?
                }
                _ => false,
            },
            Presented::Nothing => match (&found, &request.certificate, registered) {
                (_, _, Some(AuthMethod::None)) => true,
                (Some(credential), Some(certificate), Some(method)) => {
                    self.certificate_proves(credential, certificate, method)
                        .await
                }
                _ => false,
            },
        };
        match found {
            Some(credential) if proved => Ok(Client {
                credential,
                client_id,
                certificate: request.certificate.clone(),
            }),
            _ => Err(OAuthError::invalid_client()),
        }
    }

    /// The store failed: the cause goes to the log, the caller learns that it may come back.
    pub(crate) fn store_failed(&self, error: &store::StoreError) -> OAuthError {
        tracing::error!(error = error as &dyn std::error::Error, "the store failed");
        OAuthError::unavailable("the store does not answer", self.config.retry_after_s)
    }
}

/// Who a request says that it is of, and what it proves that with.
fn presented(request: &OAuthRequest) -> Result<(String, Presented), OAuthError> {
    let form = &request.form;
    let basic = basic::read(&request.headers)?;
    let secret = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let ways = [basic.is_some(), secret.is_some(), assertion.is_some()];
    if ways.into_iter().filter(|used| *used).count() > 1 {
        return Err(OAuthError::invalid_request(
            "the client authenticates more than once",
        ));
    }
    let named = form.get("client_id");
    let (client_id, presented) = if let Some((id, secret)) = basic {
        let presented = Presented::Secret(AuthMethod::ClientSecretBasic, secret);
        (id, presented)
    } else if let Some(assertion) = assertion {
        if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(OAuthError::invalid_request(
                "client_assertion_type has to be that of RFC 7523",
            ));
        }
        let subject = jose::claimed_subject(assertion);
        let subject = subject.map_err(|_| OAuthError::invalid_client())?;
        (subject, Presented::Assertion(assertion.to_owned()))
    } else {
        let id = named.ok_or_else(OAuthError::invalid_client)?.to_owned();
        let presented = secret.map_or(Presented::Nothing, |secret| {
            let secret = Secret::new(secret.to_owned());
            Presented::Secret(AuthMethod::ClientSecretPost, secret)
        });
        (id, presented)
    };
    if named.is_some_and(|named| named != client_id) {
        return Err(OAuthError::invalid_request(
            "client_id in the form is not that of the client that authenticates",
        ));
    }
    Ok((client_id, presented))
}
