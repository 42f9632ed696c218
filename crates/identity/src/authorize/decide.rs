//! What happens next with somebody who came with a request: log in, choose, be asked, or go back with a code.

use std::collections::BTreeSet;

use axum::response::Response;
use base::{Digest, GrantId};
use credentials::random_text;
use http::HeaderMap;
use minijinja::{Value, context};
use store::clients::{Client, GrantType};
use store::grants::{AuthorizationCode, Basis, CodeBinding, Consent, Grant, GrantTerms, Session};
use store::{Batch, Credential, Write};

use super::AuthorizationRequest;
use crate::IdentityState;
use crate::browser::{Browser, PageError};
use crate::flow::{Errand, Flow, Stage};
use crate::pages::{Language, Look, form_targets, language_of};
use crate::problem::trace_id;

/// Bits of a code.
const CODE_BITS: usize = 256;
/// A code lives at most so long, in seconds (RFC 6749 §4.1.2 allows ten minutes, FAPI 2.0 §5.3.2.1 one).
const CODE_LIFETIME_MAX_S: u64 = 60;
/// How long a grant without refresh tokens is kept, in seconds: longer than its access tokens last.
const GRANT_KEPT_S: u64 = 86_400;

impl IdentityState {
    /// The next step of a flow: a page or the end.
    pub(crate) async fn go_on(
        &self,
        headers: &HeaderMap,
        browser: &mut Browser,
        flow: Flow,
    ) -> Result<Response, PageError> {
        match &flow.errand {
            Errand::Authorize(request) => {
                let request = request.clone();
                self.go_on_authorizing(headers, browser, flow, &request)
                    .await
            }
            Errand::Device(user_code) => {
                let user_code = user_code.clone();
                self.go_on_with_device(headers, browser, flow, &user_code)
                    .await
            }
            Errand::Account => Ok(self.to_account()),
            Errand::DeviceEnter | Errand::Logout(_) => {
                Ok(self.refuse(headers, "this page leads nowhere"))
            }
        }
    }

    async fn go_on_authorizing(
        &self,
        headers: &HeaderMap,
        browser: &mut Browser,
        flow: Flow,
        request: &AuthorizationRequest,
    ) -> Result<Response, PageError> {
        // It may have changed since the flow began.
        let found = self.live_client(&request.client_id).await?;
        let Some((credential, client)) = found
            .as_ref()
            .and_then(|found| Some((found, found.client()?)))
        else {
            return Ok(self.refuse(headers, "there is no such client any more"));
        };
        if !client
            .metadata
            .redirect_uris
            .iter()
            .any(|known| super::same_redirect(known, &request.redirect_uri))
        {
            return Ok(self.refuse(headers, "redirect_uri is not registered any more"));
        }
        let session = browser.session_of(&credential.org).cloned();
        let Some(session) = session.filter(|session| self.is_recent(session, &flow, request))
        else {
            if request.prompt.none {
                let text = "the user is not logged in as the request demands";
                return Ok(self.deny_client(headers, request, "login_required", text));
            }
            return self.login_page(headers, &flow, None).await;
        };
        if let Some(expected) = &request.expected_sub
            && self.people.subject(client, session.user_id) != *expected
        {
            if request.prompt.none {
                let text = "another user is logged in";
                return Ok(self.deny_client(headers, request, "login_required", text));
            }
            return self
                .login_page(headers, &flow, Some("login_other_user"))
                .await;
        }
        if request.prompt.select_account && !flow.chosen && flow.begun_sid == Some(session.sid) {
            return self.account_page(headers, &flow, &session, credential);
        }
        let wish = self.wish(credential, &session, request).await?;
        if self.must_ask(client, &session, request, &wish).await? {
            if request.prompt.none {
                let text = "the user has to be asked";
                return Ok(self.deny_client(headers, request, "consent_required", text));
            }
            return self.consent_page(headers, flow, &session, (credential, client), &wish);
        }
        self.give_code(headers, (credential, client), &session, request, wish)
            .await
    }

    /// Whether the login is young enough. One within this flow is.
    fn is_recent(&self, session: &Session, flow: &Flow, request: &AuthorizationRequest) -> bool {
        let age = self.clock.unix_s().saturating_sub(session.login.at_unix_s);
        let forced =
            request.prompt.login || request.max_age.is_some_and(|most| most == 0 || age > most);
        !forced || flow.begun_sid != Some(session.sid)
    }

    /// What the user is asked for: the scopes of the request that this user may give, and the resources.
    async fn wish(
        &self,
        credential: &Credential,
        session: &Session,
        request: &AuthorizationRequest,
    ) -> Result<BTreeSet<String>, PageError> {
        let permitted = self.permitted_scopes(credential).await?;
        let scopes = match &request.scopes {
            // What a client is registered for and did not ask for is no reason to ask about the user.
            None => permitted
                .into_iter()
                .filter(|scope| !crate::scopes::is_oidc(scope))
                .collect(),
            Some(scopes) => scopes.intersection(&permitted).cloned().collect(),
        };
        self.scopes_of_user(credential, session, &scopes).await
    }

    /// Whether the user has to be asked. What was allowed before is not asked again, except where anybody could pretend to
    /// be the client: a public one whose answer goes to an app or this very machine (RFC 8252 §8.6).
    async fn must_ask(
        &self,
        client: &Client,
        session: &Session,
        request: &AuthorizationRequest,
        scopes: &BTreeSet<String>,
    ) -> Result<bool, PageError> {
        if request.prompt.consent {
            return Ok(true);
        }
        if client.metadata.skip_consent {
            return Ok(false);
        }
        if client.metadata.is_public() && !request.redirect_uri.starts_with("https://") {
            return Ok(true);
        }
        let store = &self.people.store;
        let given = store
            .consent_get(session.user_id, &client.client_id)
            .await?;
        Ok(given.is_none_or(|given| {
            !scopes.is_subset(&given.scopes) || !request.resources.is_subset(&given.resources)
        }))
    }

    fn consent_page(
        &self,
        headers: &HeaderMap,
        mut flow: Flow,
        session: &Session,
        (credential, client): (&Credential, &Client),
        scopes: &BTreeSet<String>,
    ) -> Result<Response, PageError> {
        let Errand::Authorize(request) = &flow.errand else {
            return Ok(self.refuse(headers, "this page leads nowhere"));
        };
        let language = language_of(headers, request.ui_locales.as_deref());
        let targets = form_targets(&request.redirect_uri);
        let values = context! {
            goes_to => destination(&request.redirect_uri),
            resources => Vec::from_iter(request.resources.iter().cloned()),
            ..wish_values(language, (credential, client), session, scopes)
        };
        flow.sid = Some(session.sid);
        let sealed = flow
            .seal(&self.people.keys, Stage::Consent)
            .ok_or(PageError::Seal)?;
        let values = context! { flow => sealed, ..values };
        let look = Look::new(language);
        Ok(self
            .people
            .pages
            .page("consent.html", look, &targets, values))
    }

    /// The user said yes.
    pub(crate) async fn consented(
        &self,
        headers: &HeaderMap,
        browser: &Browser,
        request: &AuthorizationRequest,
    ) -> Result<Response, PageError> {
        let found = self.live_client(&request.client_id).await?;
        let Some((credential, client)) = found
            .as_ref()
            .and_then(|found| Some((found, found.client()?)))
        else {
            return Ok(self.refuse(headers, "there is no such client any more"));
        };
        let Some(session) = browser.session_of(&credential.org) else {
            return Ok(self.form_over(headers));
        };
        let wish = self.wish(credential, session, request).await?;
        let given = (&wish, &request.resources);
        self.remember_consent(headers, session, &client.client_id, given)
            .await?;
        self.give_code(headers, (credential, client), session, request, wish)
            .await
    }

    /// Adds to what the user allowed the client before.
    pub(crate) async fn remember_consent(
        &self,
        headers: &HeaderMap,
        session: &Session,
        client_id: &str,
        (scopes, resources): (&BTreeSet<String>, &BTreeSet<String>),
    ) -> Result<(), PageError> {
        let at_unix_ms = self.clock.unix_ms();
        let consent = Consent {
            user_id: session.user_id,
            client_id: client_id.to_owned(),
            scopes: scopes.clone(),
            resources: resources.clone(),
            at_unix_ms,
        };
        let batch = Batch {
            org: session.org.clone(),
            actor: session.user.clone(),
            at_unix_ms,
            request: Some(trace_id(headers)),
            writes: vec![Write::ConsentAdd(consent)],
        };
        self.store.commit(batch).await?;
        self.metrics.consents.count();
        Ok(())
    }

    async fn give_code(
        &self,
        headers: &HeaderMap,
        (credential, client): (&Credential, &Client),
        session: &Session,
        request: &AuthorizationRequest,
        scopes: BTreeSet<String>,
    ) -> Result<Response, PageError> {
        let mut grant = self.new_grant(credential, client, session, scopes);
        grant.terms.resources = request.resources.clone();
        grant.terms.claims = request.claims.clone();
        let text = random_text("", CODE_BITS)?;
        let lifetime_s = self
            .people
            .config
            .code_lifetime_s
            .clamp(1, CODE_LIFETIME_MAX_S);
        let code = AuthorizationCode {
            hash: Digest::of(text.as_bytes()),
            grant: grant.id,
            expires_unix_s: self.clock.unix_s().saturating_add(lifetime_s),
            binding: CodeBinding {
                redirect_uri: request.redirect_uri.clone(),
                redirect_uri_named: request.redirect_uri_named,
                challenge: request.challenge.clone(),
                nonce: request.nonce.clone(),
                dpop_jkt: request.dpop_jkt.clone(),
            },
        };
        let basis = Basis {
            session: true,
            consent: !client.metadata.skip_consent,
        };
        if !self.people.store.code_put(&grant, basis, &code).await? {
            let error = if request.prompt.none {
                "interaction_required"
            } else {
                "access_denied"
            };
            let text = "the session is over, or what the user allowed was taken back";
            return Ok(self.deny_client(headers, request, error, text));
        }
        self.metrics.codes_issued.count();
        Ok(self.answer_client(headers, &request.to(), vec![("code", text)]))
    }

    /// A grant that begins now.
    pub(crate) fn new_grant(
        &self,
        credential: &Credential,
        client: &Client,
        session: &Session,
        scopes: BTreeSet<String>,
    ) -> Grant {
        let refreshes = client.metadata.may(GrantType::RefreshToken);
        let lifetime_s = if refreshes {
            self.people.config.grant_lifetime_s
        } else {
            GRANT_KEPT_S
        };
        Grant {
            id: GrantId::generate(),
            org: credential.org.clone(),
            client_id: client.client_id.clone(),
            user_id: session.user_id,
            sid: Some(session.sid),
            offline: refreshes && scopes.contains(crate::scopes::OFFLINE_ACCESS),
            revoked_unix_ms: None,
            created_unix_ms: self.clock.unix_ms(),
            expires_unix_s: self.clock.unix_s().saturating_add(lifetime_s),
            terms: GrantTerms {
                application: credential.application,
                user: session.user.clone(),
                subject: self.people.pairwise.subject(
                    &client.client_id,
                    &client.metadata,
                    session.user_id,
                ),
                login: session.login.clone(),
                scopes,
                resources: BTreeSet::new(),
                claims: None,
            },
        }
    }
}

/// What people call a client.
pub(crate) fn name_of(credential: &Credential) -> &str {
    let id = credential.client().map(|client| client.client_id.as_str());
    if credential.name.is_empty() {
        id.unwrap_or_default()
    } else {
        &credential.name
    }
}

/// What the page about a wish shows of it.
pub(crate) fn wish_values(
    language: Language,
    (credential, client): (&Credential, &Client),
    session: &Session,
    scopes: &BTreeSet<String>,
) -> Value {
    let scopes: Vec<Value> = scopes
        .iter()
        .map(|scope| context! { name => scope, text => crate::scopes::text_of(language, scope) })
        .collect();
    // A link to anything else than a page is none.
    let page = |uri: &Option<String>| {
        let uri = uri.as_deref().unwrap_or_default();
        if uri.starts_with("https://") || uri.starts_with("http://") {
            uri.to_owned()
        } else {
            String::new()
        }
    };
    context! {
        client => name_of(credential),
        user => session.user.as_str(),
        scopes => scopes,
        resources => Vec::<String>::new(),
        goes_to => "",
        client_uri => page(&client.metadata.client_uri),
        tos_uri => page(&client.metadata.tos_uri),
        policy_uri => page(&client.metadata.policy_uri),
    }
}

/// Scheme and host that somebody is sent to.
fn destination(uri: &str) -> &str {
    let Some(start) = uri.find("://").map(|at| at + 3) else {
        return uri.split_once(':').map_or(uri, |(scheme, _)| scheme);
    };
    let end = uri[start..]
        .find(['/', '?'])
        .map_or(uri.len(), |at| start + at);
    &uri[..end]
}
