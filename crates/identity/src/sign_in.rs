//! The login page, the choice of an account, and the answer to the consent page.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use base::{Org, Secret};
use credentials::PasswordError;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use minijinja::context;
use store::grants::{Place, Session};
use store::{Credential, User};

use crate::IdentityState;
use crate::authorize::decide::name_of;
use crate::browser::PageError;
use crate::flow::{Errand, Flow, Stage};
use crate::page_form::PageForm;
use crate::pages::{Look, form_targets, language_of};
use limits::guesses::{Attempt, Target};

/// The longest user name that is looked up, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// What is kept of what a browser calls itself, in characters.
const AGENT_CHARS_MAX: usize = 200;

/// Log in
///
/// The form of the login page. A wrong password and an unknown user have the same answer and cost the same hash; failures
/// delay the account and the address. The session is a new one whatever the browser had before.
///
/// Source: OpenID Connect Core §3.1.2.3; OWASP ASVS 5.0 chapters 6 and 7.
#[utoipa::path(post, path = "/oauth2/login", operation_id = "oauth2_login", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The next page"), (status = 303, description = "To the client"),
        (status = 422, description = "The login page again: name or password is wrong"),
        (status = 429, description = "The login page again: too many failures; `Retry-After`"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn log_in(State(state): State<Arc<IdentityState>>, request: Request) -> Response {
    let mut form = match state.open_form(request, Stage::Login).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.log_in(&mut form).await;
    state.close_form(&form, answer)
}

/// Go on with the account that is logged in, or with another one
///
/// Source: OpenID Connect Core §3.1.2.1 (`prompt=select_account`).
#[utoipa::path(post, path = "/oauth2/account", operation_id = "oauth2_account", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The next page"), (status = 303, description = "To the client"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn choose_account(
    State(state): State<Arc<IdentityState>>,
    request: Request,
) -> Response {
    let mut form = match state.open_form(request, Stage::Account).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.choose_account(&mut form).await;
    state.close_form(&form, answer)
}

/// Allow or deny what a client asks for
///
/// Source: OpenID Connect Core §3.1.2.4; RFC 6749 §4.1.1.
#[utoipa::path(post, path = "/oauth2/consent", operation_id = "oauth2_consent", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the client: with a code, or with `access_denied`"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn consent(State(state): State<Arc<IdentityState>>, request: Request) -> Response {
    let mut form = match state.open_form(request, Stage::Consent).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.decide_consent(&mut form).await;
    state.close_form(&form, answer)
}

/// How a login went.
enum Checked {
    Right(Box<User>),
    Wrong,
    /// Seconds to wait.
    Delayed(u64),
    Busy,
}

/// What the login page shows besides its form.
pub(crate) struct LoginTrouble {
    status: StatusCode,
    text: String,
    retry_after_s: Option<u64>,
}

impl IdentityState {
    async fn log_in(&self, form: &mut PageForm) -> Result<Response, PageError> {
        let org = self.org_of(&form.flow).await?;
        let name = form.form.get("username").unwrap_or_default().to_owned();
        let password = form.form.get("password").unwrap_or_default().to_owned();
        let checked = self
            .check_login(&org, &name, Secret::new(password), form)
            .await?;
        let language = language_of(&form.headers, ui_locales(&form.flow));
        let trouble = match checked {
            Checked::Right(user) => {
                let place = place_of(form);
                self.session_begin(&mut form.browser, &user, place).await?;
                let flow = form.flow.clone();
                return self.go_on(&form.headers, &mut form.browser, flow).await;
            }
            Checked::Wrong => LoginTrouble {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                text: language.text("login_failed").to_owned(),
                retry_after_s: None,
            },
            Checked::Delayed(seconds) => LoginTrouble {
                status: StatusCode::TOO_MANY_REQUESTS,
                text: format!("{} {seconds}", language.text("login_wait")),
                retry_after_s: Some(seconds),
            },
            Checked::Busy => LoginTrouble {
                status: StatusCode::TOO_MANY_REQUESTS,
                text: language.text("busy").to_owned(),
                retry_after_s: Some(self.config.retry_after_s),
            },
        };
        self.login_form(&form.headers, &form.flow, &name, Some(trouble))
            .await
    }

    async fn check_login(
        &self,
        org: &Org,
        name: &str,
        password: Secret<String>,
        form: &PageForm,
    ) -> Result<Checked, PageError> {
        let guesses = &self.people.guesses;
        let target = Target::Account {
            org: org.as_str(),
            name,
        };
        let attempt = match guesses.attempt(target, form.address, self.clock.monotonic_ms()) {
            Ok(attempt) => attempt,
            Err(seconds) => {
                self.metrics.logins_delayed.count();
                return Ok(Checked::Delayed(seconds));
            }
        };
        let user = if name.len() <= NAME_BYTES_MAX {
            self.store.user_get(org, name).await?
        } else {
            None
        };
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let verified = self.passwords.verify(password, stored).await;
        Ok(match (verified, user) {
            (Ok(true), Some(user)) => {
                guesses.succeeded(&attempt);
                self.metrics.logins.count();
                Checked::Right(Box::new(user))
            }
            (Err(PasswordError::Busy | PasswordError::Hash), _) => self.not_checked(&attempt),
            (_, user) => {
                self.metrics.logins_failed.count();
                // A name that nobody has is not logged: it may be a password that went into the wrong field.
                let name = user.as_ref().map_or("(unknown)", |user| user.name.as_str());
                tracing::warn!(user = name, "a login failed");
                Checked::Wrong
            }
        })
    }

    fn not_checked(&self, attempt: &Attempt) -> Checked {
        self.people.guesses.withdrawn(attempt);
        self.metrics.logins_busy.count();
        Checked::Busy
    }

    /// Whose users may log in for this errand: those of the client's organisation.
    async fn org_of(&self, flow: &Flow) -> Result<Org, PageError> {
        let org = match &flow.errand {
            Errand::Authorize(request) => {
                let client = self.store.client_get(&request.client_id).await?;
                client.map(|credential| credential.org)
            }
            Errand::Device(user_code) => {
                let now = self.clock.unix_s();
                let device = self.people.store.device_find(user_code, now).await?;
                device.map(|device| device.org)
            }
            Errand::DeviceEnter | Errand::Logout(_) | Errand::Account => None,
        };
        Ok(org.unwrap_or_else(Org::default_org))
    }

    /// The login page. `text` names what to say first.
    pub(crate) async fn login_page(
        &self,
        headers: &HeaderMap,
        flow: &Flow,
        text: Option<&'static str>,
    ) -> Result<Response, PageError> {
        let hint = match &flow.errand {
            Errand::Authorize(request) => request.login_hint.clone().unwrap_or_default(),
            _ => String::new(),
        };
        let language = language_of(headers, ui_locales(flow));
        let trouble = text.map(|text| LoginTrouble {
            status: StatusCode::OK,
            text: language.text(text).to_owned(),
            retry_after_s: None,
        });
        self.login_form(headers, flow, &hint, trouble).await
    }

    async fn login_form(
        &self,
        headers: &HeaderMap,
        flow: &Flow,
        name: &str,
        trouble: Option<LoginTrouble>,
    ) -> Result<Response, PageError> {
        let (client, targets) = match &flow.errand {
            Errand::Authorize(request) => {
                let client = self.store.client_get(&request.client_id).await?;
                (client, form_targets(&request.redirect_uri))
            }
            _ => (None, String::new()),
        };
        let sealed = flow
            .seal(&self.people.keys, Stage::Login)
            .ok_or(PageError::Seal)?;
        let values = context! {
            flow => sealed,
            client => client.as_ref().map(name_of).unwrap_or_default(),
            username => name,
            error => trouble.as_ref().map_or("", |trouble| trouble.text.as_str()),
        };
        let mut look = Look::new(language_of(headers, ui_locales(flow)));
        look.status = trouble
            .as_ref()
            .map_or(StatusCode::OK, |trouble| trouble.status);
        let mut page = self.people.pages.page("login.html", look, &targets, values);
        if let Some(seconds) = trouble.and_then(|trouble| trouble.retry_after_s) {
            page.headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Ok(page)
    }

    /// The page on which somebody goes on with the account that is logged in, or takes another one.
    pub(crate) fn account_page(
        &self,
        headers: &HeaderMap,
        flow: &Flow,
        session: &Session,
        credential: &Credential,
    ) -> Result<Response, PageError> {
        let mut flow = flow.clone();
        flow.sid = Some(session.sid);
        let sealed = flow
            .seal(&self.people.keys, Stage::Account)
            .ok_or(PageError::Seal)?;
        let values = context! {
            flow => sealed,
            client => name_of(credential),
            user => session.user.as_str(),
        };
        let targets = match &flow.errand {
            Errand::Authorize(request) => form_targets(&request.redirect_uri),
            _ => String::new(),
        };
        let look = Look::new(language_of(headers, ui_locales(&flow)));
        Ok(self
            .people
            .pages
            .page("account.html", look, &targets, values))
    }

    async fn choose_account(&self, form: &mut PageForm) -> Result<Response, PageError> {
        let mut flow = form.flow.clone();
        flow.sid = None;
        if form.form.get("account") != Some("this") {
            return self.login_page(&form.headers, &flow, None).await;
        }
        flow.chosen = true;
        self.go_on(&form.headers, &mut form.browser, flow).await
    }

    async fn decide_consent(&self, form: &mut PageForm) -> Result<Response, PageError> {
        let Errand::Authorize(request) = &form.flow.errand else {
            return Ok(self.form_over(&form.headers));
        };
        match form.form.get("decision") {
            Some("allow") => self.consented(&form.headers, &form.browser, request).await,
            Some("deny") => {
                self.metrics.consents_denied.count();
                let text = "the user said no";
                Ok(self.deny_client(&form.headers, request, "access_denied", text))
            }
            _ => Ok(self.form_over(&form.headers)),
        }
    }
}

/// The languages that the client asked for.
pub(crate) fn ui_locales(flow: &Flow) -> Option<&str> {
    match &flow.errand {
        Errand::Authorize(request) => request.ui_locales.as_deref(),
        _ => None,
    }
}

/// From where somebody logs in, as people are shown it later.
fn place_of(form: &PageForm) -> Place {
    let agent = form.headers.get(USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let agent = agent.map(|agent| {
        let shown = agent.chars().filter(|c| !c.is_control());
        shown.take(AGENT_CHARS_MAX).collect()
    });
    Place {
        address: form.address.map(|address| address.to_string()),
        agent: agent.filter(|agent: &String| !agent.is_empty()),
    }
}
