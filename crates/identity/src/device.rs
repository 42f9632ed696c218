//! Devices without a browser (RFC 8628): they show a code, people type it here and decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use base::{Digest, Org};
use credentials::random_text;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use minijinja::context;
use serde::{Deserialize, Serialize};
use store::Credential;
use store::StoreError;
use store::clients::GrantType;
use store::grants::{Basis, DeviceCode, DeviceWish, Session};
use utoipa::ToSchema;

use crate::IdentityState;
use crate::authorize::decide::wish_values;
use crate::authorize::parameters::Parameters;
use crate::browser::{Browser, PageError};
use crate::described::OAuthErrorBody;
use crate::flow::{Errand, Flow, Stage};
use crate::form::OAuthRequest;
use crate::oauth::OAuthError;
use crate::page_form::PageForm;
use crate::pages::{Look, language_of};
use limits::guesses::Target;

/// Bits of a device code.
const CODE_BITS: usize = 256;
/// The letters of user codes: no vowels, so no words; nothing that is mistaken for something else (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Their number: 20⁸ codes, of which at most a few are alive.
const USER_CODE_CHARS: usize = 8;
/// How often another user code is tried when one is taken.
const TRIES: usize = 4;

/// What a device shows and asks with (RFC 8628 §3.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceAnswer {
    /// What the device asks the token endpoint with.
    device_code: String,
    /// What people type.
    user_code: String,
    /// Where they type it.
    verification_uri: String,
    /// The same with the code filled in, for a QR code.
    verification_uri_complete: String,
    /// How long the device may wait, in seconds.
    expires_in: u64,
    /// Seconds between two questions.
    interval: u64,
}

/// Begin on a device without a browser
///
/// Source: RFC 8628 §3.1.
#[utoipa::path(post, path = "/oauth2/device_authorization", operation_id = "oauth2_device_authorization", tag = "oauth2",
    security(("client" = []), ()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The codes; `no-store`", body = DeviceAnswer),
        (status = "default", description = "What went wrong (RFC 6749 §5.2)", body = OAuthErrorBody)))]
pub(crate) async fn device_authorization(
    State(state): State<Arc<IdentityState>>,
    asking: OAuthRequest,
) -> Result<Json<DeviceAnswer>, OAuthError> {
    let parameters = Parameters::parse(&asking.body)?;
    let client = state.client(&asking).await?;
    let registered = client.credential.client();
    if !registered.is_some_and(|client| client.metadata.may(GrantType::DeviceCode)) {
        let text = "the client is not registered for device_code";
        return Err(OAuthError::unauthorized_client(text));
    }
    let permitted = state.permitted_scopes(&client.credential).await;
    let permitted = permitted.map_err(|error| state.page_error(&error))?;
    let scopes = device_scopes(parameters.get("scope"), &permitted)?;
    let checked = state.meant_resources(&client.credential, parameters.resources());
    let resources = checked
        .await
        .map_err(|error| state.page_error(&error))?
        .map_err(|text| OAuthError::of("invalid_target", &text))?;
    let wish = DeviceWish {
        application: client.credential.application,
        scopes,
        resources,
    };
    state
        .new_device(&client.credential.org, client.client_id, wish)
        .await
}

fn device_scopes(
    wanted: Option<&str>,
    permitted: &BTreeSet<String>,
) -> Result<BTreeSet<String>, OAuthError> {
    let Some(wanted) = wanted else {
        let of_apis = permitted
            .iter()
            .filter(|scope| !crate::scopes::is_oidc(scope));
        return Ok(of_apis.cloned().collect());
    };
    let wanted: BTreeSet<String> = wanted.split(' ').map(str::to_owned).collect();
    if wanted.is_subset(permitted) {
        Ok(wanted)
    } else {
        Err(OAuthError::invalid_scope(
            "the client may not ask for all of these scopes",
        ))
    }
}

/// The code that comes with `verification_uri_complete`.
#[derive(Deserialize)]
pub(crate) struct Given {
    user_code: Option<String>,
}

/// Type a device's code
///
/// Source: RFC 8628 §3.3; §3.3.1 for `user_code` in the URL, which is shown and has to be confirmed.
#[utoipa::path(get, path = "/oauth2/device", operation_id = "oauth2_device", tag = "pages", security(()),
    params(("user_code" = Option<String>, Query, description = "Filled in")),
    responses((status = 200, description = "The page")))]
pub(crate) async fn device_page(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    given: Result<Query<Given>, QueryRejection>,
) -> Response {
    let given = given
        .ok()
        .and_then(|Query(given)| given.user_code)
        .unwrap_or_default();
    let answer = async {
        let browser = state.browser(&headers).await?;
        let (now, lifetime) = (state.clock.unix_s(), state.people.config.flow_lifetime_s);
        let flow = Flow::new(&browser.id, Errand::DeviceEnter, now, lifetime);
        let shown = normalised(&given).map_or(String::new(), |code| shown(&code));
        let page = state.device_form(&headers, &flow, &shown, None)?;
        Ok(state.keep_browser(&browser, page))
    };
    answer
        .await
        .unwrap_or_else(|error| state.page_failed(&headers, &error))
}

/// Find the device of a code
///
/// Wrong codes delay the address (RFC 8628 §5.1).
#[utoipa::path(post, path = "/oauth2/device", operation_id = "oauth2_device_code", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The next page: login, or what the device asks for"),
        (status = 422, description = "The page again: no device shows this code"),
        (status = 429, description = "The page again: too many wrong codes; `Retry-After`"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn device_code(
    State(state): State<Arc<IdentityState>>,
    request: Request,
) -> Response {
    let mut form = match state.open_form(request, Stage::DeviceEnter).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.enter_code(&mut form).await;
    state.close_form(&form, answer)
}

/// Allow or deny what a device asks for
///
/// Source: RFC 8628 §3.3.
#[utoipa::path(post, path = "/oauth2/device/decide", operation_id = "oauth2_device_decide", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is decided"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn device_decide(
    State(state): State<Arc<IdentityState>>,
    request: Request,
) -> Response {
    let form = match state.open_form(request, Stage::DeviceDecide).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.decide_device(&form).await;
    state.close_form(&form, answer)
}

impl IdentityState {
    async fn new_device(
        &self,
        org: &Org,
        client_id: String,
        wish: DeviceWish,
    ) -> Result<Json<DeviceAnswer>, OAuthError> {
        let config = &self.people.config;
        let device_code = random_text("", CODE_BITS).map_err(|_| OAuthError::server_error())?;
        let mut device = DeviceCode {
            hash: Digest::of(device_code.as_bytes()),
            user_code: String::new(),
            org: org.clone(),
            client_id,
            expires_unix_s: self.clock.unix_s().saturating_add(config.device_lifetime_s),
            interval_s: config.device_interval_s,
            wish,
        };
        for _ in 0..TRIES {
            device.user_code = new_user_code();
            match self.people.store.device_put(&device).await {
                Ok(()) => break,
                Err(StoreError::Exists(_)) => device.user_code.clear(),
                Err(error) => return Err(self.store_failed(&error)),
            }
        }
        if device.user_code.is_empty() {
            let text = "too many devices wait";
            return Err(OAuthError::unavailable(text, self.config.retry_after_s));
        }
        self.metrics.devices_begun.count();
        let verification_uri = format!("{}/oauth2/device", self.tokens.issuer());
        let user_code = shown(&device.user_code);
        Ok(Json(DeviceAnswer {
            device_code,
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            user_code,
            verification_uri,
            expires_in: config.device_lifetime_s,
            interval: config.device_interval_s,
        }))
    }

    fn device_form(
        &self,
        headers: &HeaderMap,
        flow: &Flow,
        user_code: &str,
        trouble: Option<(StatusCode, String)>,
    ) -> Result<Response, PageError> {
        let sealed = flow
            .seal(&self.people.keys, Stage::DeviceEnter)
            .ok_or(PageError::Seal)?;
        let mut look = Look::new(language_of(headers, None));
        let (status, error) = trouble.unwrap_or((StatusCode::OK, String::new()));
        look.status = status;
        let values = context! { flow => sealed, user_code => user_code, error => error };
        Ok(self.people.pages.page("device.html", look, "", values))
    }

    async fn enter_code(&self, form: &mut PageForm) -> Result<Response, PageError> {
        let language = language_of(&form.headers, None);
        let typed = form.form.get("user_code").unwrap_or_default().to_owned();
        let guesses = &self.people.guesses;
        let now_ms = self.clock.monotonic_ms();
        let attempt = match guesses.attempt(Target::Devices, form.address, now_ms) {
            Ok(attempt) => attempt,
            Err(seconds) => {
                self.metrics.logins_delayed.count();
                let text = format!("{} {seconds}", language.text("login_wait"));
                let trouble = Some((StatusCode::TOO_MANY_REQUESTS, text));
                let mut page = self.device_form(&form.headers, &form.flow, "", trouble)?;
                page.headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(seconds));
                return Ok(page);
            }
        };
        let found = match normalised(&typed) {
            Some(code) => {
                let now = self.clock.unix_s();
                self.people.store.device_find(&code, now).await?
            }
            None => None,
        };
        let Some(device) = found else {
            self.metrics.user_codes_wrong.count();
            let text = language.text("device_unknown").to_owned();
            let trouble = Some((StatusCode::UNPROCESSABLE_ENTITY, text));
            return self.device_form(&form.headers, &form.flow, "", trouble);
        };
        guesses.succeeded(&attempt);
        let mut flow = form.flow.clone();
        flow.errand = Errand::Device(device.user_code);
        self.go_on(&form.headers, &mut form.browser, flow).await
    }

    /// The device, its client and who is logged in, as long as all of them are there.
    async fn device_of(
        &self,
        user_code: &str,
        browser: &Browser,
    ) -> Result<Option<(DeviceCode, Credential, Option<Session>)>, PageError> {
        let now = self.clock.unix_s();
        let Some(device) = self.people.store.device_find(user_code, now).await? else {
            return Ok(None);
        };
        let client = self.live_client(&device.client_id).await?;
        Ok(client.map(|client| {
            let session = browser.session_of(&client.org).cloned();
            (device, client, session)
        }))
    }

    /// Login, then the page that shows what the device wants.
    pub(crate) async fn go_on_with_device(
        &self,
        headers: &HeaderMap,
        browser: &mut Browser,
        mut flow: Flow,
        user_code: &str,
    ) -> Result<Response, PageError> {
        let Some((device, credential, session)) = self.device_of(user_code, browser).await? else {
            return Ok(self.form_over(headers));
        };
        let Some(session) = session else {
            return self.login_page(headers, &flow, None).await;
        };
        let Some(client) = credential.client() else {
            return Ok(self.form_over(headers));
        };
        let scopes = self
            .scopes_of_user(&credential, &session, &device.wish.scopes)
            .await?;
        flow.sid = Some(session.sid);
        let sealed = flow
            .seal(&self.people.keys, Stage::DeviceDecide)
            .ok_or(PageError::Seal)?;
        let language = language_of(headers, None);
        let values = context! {
            flow => sealed,
            user_code => shown(user_code),
            resources => Vec::from_iter(device.wish.resources),
            ..wish_values(language, (&credential, client), &session, &scopes)
        };
        let look = Look::new(language);
        Ok(self
            .people
            .pages
            .page("device_confirm.html", look, "", values))
    }

    async fn decide_device(&self, form: &PageForm) -> Result<Response, PageError> {
        let Errand::Device(user_code) = &form.flow.errand else {
            return Ok(self.form_over(&form.headers));
        };
        let found = self.device_of(user_code, &form.browser).await?;
        let Some((device, credential, Some(session))) = found else {
            return Ok(self.form_over(&form.headers));
        };
        let Some(client) = credential.client() else {
            return Ok(self.form_over(&form.headers));
        };
        let (language, now) = (language_of(&form.headers, None), self.clock.unix_s());
        let store = &self.people.store;
        let pages = &self.people.pages;
        if form.form.get("decision") != Some("allow") {
            store.device_decide(user_code, None, now).await?;
            self.metrics.consents_denied.count();
            return Ok(pages.done(language, "device_denied_title", "device_denied"));
        }
        let scopes = self
            .scopes_of_user(&credential, &session, &device.wish.scopes)
            .await?;
        // Before the grant: nobody has what no list shows.
        let given = (&scopes, &device.wish.resources);
        self.remember_consent(&form.headers, &session, &client.client_id, given)
            .await?;
        let mut grant = self.new_grant(&credential, client, &session, scopes);
        // The device is not this browser: what it gets does not end with the session here.
        grant.offline = true;
        grant.terms.resources = device.wish.resources;
        let basis = Basis {
            session: true,
            consent: true,
        };
        let yes = Some((&grant, basis));
        if !store.device_decide(user_code, yes, now).await? {
            return Ok(self.form_over(&form.headers));
        }
        Ok(pages.done(language, "device_allowed_title", "device_allowed"))
    }
}

/// A random user code, without its separator.
fn new_user_code() -> String {
    // 60 random bits; the remainder prefers some letters by less than one part in 10⁷.
    let mut bits = uuid::Uuid::new_v4().as_u128() & ((1 << 60) - 1);
    let mut code = String::with_capacity(USER_CODE_CHARS);
    for _ in 0..USER_CODE_CHARS {
        let letter = usize::try_from(bits % 20).expect("it is below 20");
        code.push(char::from(LETTERS[letter]));
        bits /= 20;
    }
    code
}

/// A user code as people read it.
fn shown(code: &str) -> String {
    let (front, back) = code.split_at(code.len().min(USER_CODE_CHARS / 2));
    format!("{front}-{back}")
}

/// What somebody typed, as codes are kept; `None` for what cannot be one. Case and separators do not matter.
fn normalised(typed: &str) -> Option<String> {
    let code: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}'))
        .map(|c| c.to_ascii_uppercase())
        .take(USER_CODE_CHARS + 1)
        .collect();
    let sound = code.len() == USER_CODE_CHARS && code.bytes().all(|byte| LETTERS.contains(&byte));
    sound.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_codes_are_typed_as_people_do() {
        let code = new_user_code();
        assert_eq!(normalised(&shown(&code)), Some(code.clone()));
        assert_ne!(code, new_user_code());
        for typed in ["bcdf-ghjk", " BCDFGHJK ", "b c d f\u{2013}g h j k"] {
            assert_eq!(normalised(typed).as_deref(), Some("BCDFGHJK"), "{typed}");
        }
        for typed in ["", "BCDFGHJ", "BCDFGHJKL", "ABCDEFGH", "BCDFGHJ\u{e9}"] {
            assert_eq!(normalised(typed), None, "{typed}");
        }
    }
}
