//! `GET` and `POST /oauth2/authorize`: a user lets a client act for them.
//!
//! Until client and redirect URI are found sound, what is wrong is a page (req: S8); afterwards it is an answer to the
//! client. Answers to clients name the issuer, so that nobody mixes up two of them (RFC 9207).

pub(crate) mod decide;
pub(crate) mod parameters;
mod pushed;
mod request;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use form_urlencoded::Serializer;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use store::Credential;
use store::clients::{Client, RESIDENT};

use crate::IdentityState;
use crate::browser::PageError;
use crate::flow::{Errand, Flow};
use crate::form::is_form;
use crate::pages::language_of;
use parameters::Parameters;
use request::{Refusal, ResponseMode, Return};

use pushed::Pushed;

pub(crate) use pushed::{__path_pushed_authorization_request, pushed_authorization_request};
pub(crate) use request::{AuthorizationRequest, same_redirect, wants_other_acr};

/// The longest request, in bytes: pages carry it along, sealed, in the form that comes back.
pub(crate) const QUERY_BYTES_MAX: usize = 8192;

/// Let a user allow a client something
///
/// The answer is a page (login, consent), a redirect to the client with `code`, `state` and `iss`, or an error page when
/// client or `redirect_uri` is wrong. `response_type` is `code`; PKCE with S256 is required, of confidential clients unless
/// they opted out.
///
/// Source: RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9207, RFC 8707 §2, RFC 9126 §4, OpenID Connect Core §3.1.2.
#[utoipa::path(get, path = "/oauth2/authorize", operation_id = "oauth2_authorize", tag = "oauth2", security(()),
    params(
        ("client_id" = String, Query, description = "The client"),
        ("redirect_uri" = Option<String>, Query, description = "One of the client's, byte for byte; absent where it has one"),
        ("response_type" = Option<String>, Query, description = "`code`"),
        ("response_mode" = Option<String>, Query, description = "`query` (default) or `form_post`"),
        ("scope" = Option<String>, Query, description = "Separated by blanks; absent = all that the client may have"),
        ("state" = Option<String>, Query, description = "Comes back as it is"),
        ("code_challenge" = Option<String>, Query, description = "RFC 7636"),
        ("code_challenge_method" = Option<String>, Query, description = "`S256`"),
        ("nonce" = Option<String>, Query, description = "Goes to the ID token"),
        ("prompt" = Option<String>, Query, description = "`none`, or of `login`, `consent`, `select_account`"),
        ("max_age" = Option<u64>, Query, description = "How old the login may be, in seconds"),
        ("login_hint" = Option<String>, Query, description = "A user name to begin with"),
        ("id_token_hint" = Option<String>, Query, description = "An ID token of the user that is expected"),
        ("ui_locales" = Option<String>, Query, description = "Languages of the pages, by preference: `en`, `de`, `zh`"),
        ("claims" = Option<String>, Query, description = "OpenID Connect Core §5.5"),
        ("resource" = Option<Vec<String>>, Query, description = "RFC 8707; may come several times"),
        ("dpop_jkt" = Option<String>, Query, description = "RFC 9449 §10"),
        ("request_uri" = Option<String>, Query, description = "Of a pushed request (RFC 9126)"),
    ),
    responses((status = 200, description = "A page"), (status = 303, description = "To the client, or to a page"),
        (status = "4XX", description = "An error page: nothing is sent to the client")))]
pub(crate) async fn authorize(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    state
        .authorize(&headers, query.unwrap_or_default().as_bytes())
        .await
}

/// The same by a form (OpenID Connect Core §3.1.2.1)
///
/// Another site's form brings no cookies of ours, so this leads to the same request by GET.
#[utoipa::path(post, path = "/oauth2/authorize", operation_id = "oauth2_authorize_form", tag = "oauth2", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the same request by GET"), (status = "4XX", description = "An error page")))]
pub(crate) async fn authorize_form(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    state.form_to_get("/oauth2/authorize", &headers, &body)
}

/// What a request turned out to be.
enum Read {
    Sound(Box<AuthorizationRequest>),
    /// Client or redirect URI are wrong: a page says so, to whoever is there.
    Page(String),
    /// Something else is: the client is told.
    Client(Return, Refusal),
}

impl IdentityState {
    /// Leads a form to the same request by GET, which brings our cookies.
    pub(crate) fn form_to_get(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let text = std::str::from_utf8(body).ok();
        // What a form holds is a query already; anything else would be put into a URL unread.
        let sound = |text: &&str| {
            text.len() <= QUERY_BYTES_MAX
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        };
        match text.filter(sound).filter(|_| is_form(headers)) {
            Some(query) => {
                let issuer = self.tokens.issuer();
                Redirect::to(&format!("{issuer}{path}?{query}")).into_response()
            }
            None => self.refuse(headers, "the form cannot be read or is too large"),
        }
    }

    async fn authorize(&self, headers: &HeaderMap, query: &[u8]) -> Response {
        let answer = async {
            if query.len() > QUERY_BYTES_MAX {
                return Ok(self.refuse(headers, "the request is too long"));
            }
            let request = match self.read_request(query).await? {
                Read::Sound(request) => request,
                Read::Page(detail) => return Ok(self.refuse(headers, &detail)),
                Read::Client(to, refusal) => return Ok(self.refuse_to(headers, &to, &refusal)),
            };
            let mut browser = self.browser(headers).await?;
            let (now, lifetime) = (self.clock.unix_s(), self.people.config.flow_lifetime_s);
            let mut flow = Flow::new(&browser.id, Errand::Authorize(request), now, lifetime);
            flow.begun_sid = browser.session.as_ref().map(|session| session.sid);
            let response = self.go_on(headers, &mut browser, flow).await?;
            Ok(self.keep_browser(&browser, response))
        };
        answer
            .await
            .unwrap_or_else(|error| self.page_failed(headers, &error))
    }

    async fn read_request(&self, query: &[u8]) -> Result<Read, PageError> {
        let page = |detail: &str| Ok(Read::Page(detail.to_owned()));
        let given = match Parameters::parse(query) {
            Ok(parameters) => parameters,
            Err(error) => return page(error.description()),
        };
        let Some(client_id) = given.get("client_id") else {
            return page("client_id is missing");
        };
        let found = self.live_client(client_id).await?;
        let Some((credential, client)) = found
            .as_ref()
            .and_then(|found| Some((found, found.client()?)))
        else {
            return page("there is no such client");
        };
        let (parameters, was_pushed) = match self.pushed_parameters(&given, client_id).await? {
            Pushed::Taken(parameters) => (parameters, true),
            Pushed::No => (given, false),
            Pushed::Gone => return page("request_uri is over, was used, or is another client's"),
        };
        let to = match request::find_return(&parameters, client) {
            Ok(to) => to,
            Err(detail) => return Ok(Read::Page(detail)),
        };
        if client.metadata.require_pushed_authorization_requests && !was_pushed {
            let refusal = Refusal::invalid("this client has to push its requests (RFC 9126)");
            return Ok(Read::Client(to, refusal));
        }
        let checked = self.check_request(&parameters, credential, client, to.clone());
        Ok(match checked.await? {
            Ok(request) => Read::Sound(Box::new(request)),
            Err(refusal) => Read::Client(to, refusal),
        })
    }

    /// What holds for pushed requests and others alike.
    pub(crate) async fn check_request(
        &self,
        parameters: &Parameters,
        credential: &Credential,
        client: &Client,
        to: Return,
    ) -> Result<Result<AuthorizationRequest, Refusal>, PageError> {
        if parameters.get("request_uri").is_some() {
            let text = "request_uri is taken of pushed requests alone (RFC 9126)";
            return Ok(Err(Refusal::new("request_uri_not_supported", text)));
        }
        let mut request = match request::read(parameters, client, to) {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let permitted = self.permitted_scopes(credential).await?;
        if let Some(missing) = request
            .scopes
            .iter()
            .flatten()
            .find(|scope| !permitted.contains(*scope))
        {
            let text = format!("the client may not ask for the scope {missing}");
            return Ok(Err(Refusal::new("invalid_scope", text)));
        }
        let named = Vec::from_iter(request.resources);
        request.resources = match self.meant_resources(credential, &named).await? {
            Ok(resources) => resources,
            Err(text) => return Ok(Err(Refusal::new("invalid_target", text))),
        };
        if let Some(hint) = parameters.get("id_token_hint") {
            match self.read_id_token_hint(hint, &client.client_id) {
                Some(hint) => request.expected_sub = Some(hint.sub),
                None => {
                    let text = "id_token_hint is no ID token for this client";
                    return Ok(Err(Refusal::invalid(text)));
                }
            }
        }
        if wants_other_acr(request.claims.as_ref(), crate::browser::ACR) {
            let text = "no login here reaches the acr that is essential";
            let error = "unmet_authentication_requirements";
            return Ok(Err(Refusal::new(error, text)));
        }
        Ok(Ok(request))
    }

    /// A client of ours that has not expired.
    pub(crate) async fn live_client(
        &self,
        client_id: &str,
    ) -> Result<Option<Credential>, PageError> {
        let found = self.store.client_get(client_id).await?;
        let now = self.clock.unix_s();
        Ok(found.filter(|credential| {
            credential.is_live(now)
                && credential
                    .client()
                    .is_some_and(|client| client.issuer == RESIDENT)
        }))
    }

    /// The page for a request that nobody can be answered for.
    pub(crate) fn refuse(&self, headers: &HeaderMap, detail: &str) -> Response {
        self.metrics.authorizations_refused.count();
        let status = StatusCode::BAD_REQUEST;
        self.people
            .pages
            .error(headers, status, "error_request", detail)
    }

    /// The page for what broke here.
    pub(crate) fn page_failed(&self, headers: &HeaderMap, error: &PageError) -> Response {
        tracing::error!(error = error as &dyn std::error::Error, "a page broke");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        self.people.pages.error(headers, status, "error_server", "")
    }

    fn refuse_to(&self, headers: &HeaderMap, to: &Return, refusal: &Refusal) -> Response {
        self.metrics.authorizations_refused.count();
        let fields = vec![
            ("error", refusal.error.to_owned()),
            ("error_description", ascii(&refusal.description)),
        ];
        self.answer_client(headers, to, fields)
    }

    /// Sends an answer to the client: by 303, so that no browser repeats a form with it (RFC 9700 §4.12).
    pub(crate) fn answer_client(
        &self,
        headers: &HeaderMap,
        to: &Return,
        mut fields: Vec<(&'static str, String)>,
    ) -> Response {
        fields.extend(to.state.clone().map(|state| ("state", state)));
        fields.push(("iss", self.tokens.issuer().to_owned()));
        if to.response_mode == ResponseMode::FormPost {
            let language = language_of(headers, None);
            return self
                .people
                .pages
                .form_post(language, &to.redirect_uri, &fields);
        }
        see_other(&with_query(&to.redirect_uri, &fields))
    }

    /// As [`IdentityState::answer_client`], with an error.
    pub(crate) fn deny_client(
        &self,
        headers: &HeaderMap,
        request: &AuthorizationRequest,
        error: &'static str,
        description: &str,
    ) -> Response {
        self.refuse_to(headers, &request.to(), &Refusal::new(error, description))
    }
}

impl AuthorizationRequest {
    /// Where its answer goes.
    pub(crate) fn to(&self) -> Return {
        Return {
            redirect_uri: self.redirect_uri.clone(),
            named: self.redirect_uri_named,
            response_mode: self.response_mode,
            state: self.state.clone(),
        }
    }
}

/// A URI with more parameters. Those that it has stay as they are.
pub(crate) fn with_query(uri: &str, fields: &[(&'static str, String)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let joint = match uri.find('?') {
        None => "?",
        Some(at) if at + 1 == uri.len() || uri.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{uri}{joint}{}", query.finish())
}

/// A redirect that is followed by GET and kept nowhere.
pub(crate) fn see_other(uri: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(uri) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The characters that RFC 6749 §4.1.2.1 allows in `error_description`.
fn ascii(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
    text.chars()
        .map(|c| if allowed(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_uri_has_stays() {
        let fields = [("code", "a b&c".to_owned())];
        for (uri, whole) in [
            ("https://a.example/cb", "https://a.example/cb?code=a+b%26c"),
            (
                "https://a.example/cb?x=1",
                "https://a.example/cb?x=1&code=a+b%26c",
            ),
            ("https://a.example/cb?", "https://a.example/cb?code=a+b%26c"),
            ("com.example:/cb", "com.example:/cb?code=a+b%26c"),
        ] {
            assert_eq!(with_query(uri, &fields), whole);
        }
    }
}
