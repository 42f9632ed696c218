//! `/oauth2/logout`: a user logs out, at a client's wish (OpenID Connect RP-Initiated Logout).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use base::SessionId;
use http::HeaderMap;
use minijinja::context;

use crate::IdentityState;
use crate::authorize::parameters::Parameters;
use crate::authorize::{QUERY_BYTES_MAX, see_other, with_query};
use crate::browser::{Browser, PageError};
use crate::flow::{Errand, Flow, LogoutErrand, Stage};
use crate::pages::{Language, Look, form_targets, language_of};
use crate::problem::trace_id;

/// Log out
///
/// With an ID token of the session that is there (`id_token_hint`) at once, else after a page that asks.
/// `post_logout_redirect_uri` is one of the client's, byte for byte; the client is named by the hint or by `client_id`.
///
/// Source: OpenID Connect RP-Initiated Logout 1.0 §2 and §3.
#[utoipa::path(get, path = "/oauth2/logout", operation_id = "oauth2_logout", tag = "oauth2", security(()),
    params(("id_token_hint" = Option<String>, Query, description = "An ID token of the user, over or not"),
        ("client_id" = Option<String>, Query, description = "The client"),
        ("post_logout_redirect_uri" = Option<String>, Query, description = "Where to go then"),
        ("state" = Option<String>, Query, description = "Comes back as it is"),
        ("ui_locales" = Option<String>, Query, description = "Languages of the pages")),
    responses((status = 200, description = "A page"), (status = 303, description = "To the client"),
        (status = 400, description = "An error page")))]
pub(crate) async fn logout(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let answer = state.begin_logout(&headers, query.as_bytes()).await;
    answer.unwrap_or_else(|error| state.page_failed(&headers, &error))
}

/// The same by a form: it leads to the same request by GET, which brings our cookies
#[utoipa::path(post, path = "/oauth2/logout", operation_id = "oauth2_logout_form", tag = "oauth2", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the same request by GET"), (status = 400, description = "An error page")))]
pub(crate) async fn logout_form(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    state.form_to_get("/oauth2/logout", &headers, &body)
}

/// Confirm the logout, or stay
#[utoipa::path(post, path = "/oauth2/logout/confirm", operation_id = "oauth2_logout_confirm", tag = "pages",
    security(()), request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A page"), (status = 303, description = "To the client"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn logout_confirm(
    State(state): State<Arc<IdentityState>>,
    request: Request,
) -> Response {
    let mut form = match state.open_form(request, Stage::Logout).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let Errand::Logout(errand) = form.flow.errand.clone() else {
        return state.form_over(&form.headers);
    };
    let language = language_of(&form.headers, None);
    let answer = if form.form.get("decision") == Some("allow") {
        state
            .end_session(&mut form.browser, &trace_id(&form.headers))
            .await
            .map(|()| state.logged_out(language, &errand))
    } else {
        let pages = &state.people.pages;
        Ok(pages.done(language, "still_in_title", "still_in"))
    };
    state.close_form(&form, answer)
}

/// What a request says, checked.
struct Wanted {
    errand: LogoutErrand,
    /// The session that the client's ID token is of.
    sid: Option<SessionId>,
    language: Language,
}

impl IdentityState {
    async fn begin_logout(&self, headers: &HeaderMap, query: &[u8]) -> Result<Response, PageError> {
        let wanted = match self.read_logout(headers, query).await? {
            Ok(wanted) => wanted,
            Err(detail) => return Ok(self.refuse(headers, detail)),
        };
        let mut browser = self.browser(headers).await?;
        let Some(session) = &browser.session else {
            return Ok(self.logged_out(wanted.language, &wanted.errand));
        };
        // The client of this very session says so: nobody else has its ID token.
        if wanted.sid == Some(session.sid) {
            self.end_session(&mut browser, &trace_id(headers)).await?;
            let response = self.logged_out(wanted.language, &wanted.errand);
            return Ok(self.keep_browser(&browser, response));
        }
        let (now, lifetime) = (self.clock.unix_s(), self.people.config.flow_lifetime_s);
        let targets = wanted.errand.redirect_uri.as_deref().map(form_targets);
        let mut flow = Flow::new(&browser.id, Errand::Logout(wanted.errand), now, lifetime);
        flow.sid = Some(session.sid);
        let sealed = flow
            .seal(&self.people.keys, Stage::Logout)
            .ok_or(PageError::Seal)?;
        let values = context! { flow => sealed, user => session.user.as_str() };
        let look = Look::new(wanted.language);
        let targets = targets.unwrap_or_default();
        let page = self
            .people
            .pages
            .page("logout.html", look, &targets, values);
        Ok(self.keep_browser(&browser, page))
    }

    async fn read_logout(
        &self,
        headers: &HeaderMap,
        query: &[u8],
    ) -> Result<Result<Wanted, &'static str>, PageError> {
        let parameters = match Parameters::parse(query) {
            Ok(parameters) if query.len() <= QUERY_BYTES_MAX => parameters,
            _ => return Ok(Err("the request cannot be read or is too long")),
        };
        let hint = match parameters.get("id_token_hint") {
            None => None,
            Some(token) => match self.read_any_id_token(token) {
                Some(hint) => Some(hint),
                None => return Ok(Err("id_token_hint is no ID token of this issuer")),
            },
        };
        let named = parameters.get("client_id");
        let hinted = hint.as_ref().map(|hint| hint.client_id.as_str());
        if let (Some(named), Some(hinted)) = (named, hinted)
            && named != hinted
        {
            return Ok(Err("client_id is not that of id_token_hint"));
        }
        let redirect_uri = parameters.get("post_logout_redirect_uri");
        if let Some(uri) = redirect_uri {
            let client = match named.or(hinted) {
                Some(client_id) => self.live_client(client_id).await?,
                None => None,
            };
            let registered = client
                .as_ref()
                .and_then(|found| found.client())
                .is_some_and(|client| {
                    let known = &client.metadata.post_logout_redirect_uris;
                    known.iter().any(|known| known == uri)
                });
            if !registered {
                return Ok(Err(
                    "post_logout_redirect_uri is not one that the client registered",
                ));
            }
        }
        Ok(Ok(Wanted {
            errand: LogoutErrand {
                redirect_uri: redirect_uri.map(str::to_owned),
                state: parameters.get("state").map(str::to_owned),
            },
            sid: hint.and_then(|hint| hint.sid),
            language: language_of(headers, parameters.get("ui_locales")),
        }))
    }

    /// Ends the session of a browser: its grants and tokens with it, and its clients are told. `request` is the call's
    /// trace id.
    pub(crate) async fn end_session(
        &self,
        browser: &mut Browser,
        request: &str,
    ) -> Result<(), PageError> {
        let Some(session) = browser.session.clone() else {
            return Ok(());
        };
        let (org, user) = (&session.org, &session.user);
        let request = Some(request.to_owned());
        self.end_session_of(org, user, request, session.sid).await?;
        Self::session_forget(browser);
        Ok(())
    }

    fn logged_out(&self, language: Language, errand: &LogoutErrand) -> Response {
        let Some(uri) = &errand.redirect_uri else {
            let pages = &self.people.pages;
            return pages.done(language, "logged_out_title", "logged_out");
        };
        let state = errand.state.clone().map(|state| ("state", state));
        match state {
            Some(state) => see_other(&with_query(uri, &[state])),
            None => see_other(uri),
        }
    }
}
