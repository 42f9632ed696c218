//! `GET /account`: where somebody sees in which browsers they are logged in and what they allowed which application, and
//! ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use base::SessionId;
use http::HeaderMap;
use minijinja::{Value, context};
use store::grants::{IdPage, Session};
use store::{StoreError, Write};

use crate::IdentityState;
use crate::authorize::decide::name_of;
use crate::authorize::parameters::Parameters;
use crate::authorize::see_other;
use crate::browser::PageError;
use crate::flow::{Errand, Flow, Stage};
use crate::page_form::PageForm;
use crate::pages::{Language, Look, language_of};
use crate::problem::trace_id;
use crate::scopes::text_of;

/// The most sessions that the page lists.
const SESSIONS_MAX: u64 = 100;

/// One's own sessions and consents
///
/// Whoever is not logged in logs in first.
#[utoipa::path(get, path = "/account", operation_id = "account", tag = "pages", security(()),
    params(("ui_locales" = Option<String>, Query, description = "Languages of the page, by preference: `en`, `de`, `zh`")),
    responses((status = 200, description = "The page, or the login page")))]
pub(crate) async fn account(
    State(state): State<Arc<IdentityState>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let parameters = Parameters::parse(query.as_bytes()).ok();
    let locales = parameters
        .as_ref()
        .and_then(|given| given.get("ui_locales"));
    let language = language_of(&headers, locales);
    let answer = state.account(&headers, language).await;
    answer.unwrap_or_else(|error| state.page_failed(&headers, &error))
}

/// End a session or a consent of one's own, or all of them
///
/// The form of the account page.
#[utoipa::path(post, path = "/account/end", operation_id = "account_end", tag = "pages", security(()),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "Back to the page"), (status = 200, description = "Logged out"),
        (status = 400, description = "An error page: the form is over, or another site's")))]
pub(crate) async fn end(State(state): State<Arc<IdentityState>>, request: Request) -> Response {
    let mut form = match state.open_form(request, Stage::Own).await {
        Ok(form) => form,
        Err(page) => return page,
    };
    let answer = state.end_own(&mut form).await;
    state.close_form(&form, answer)
}

/// What somebody ends.
enum End {
    Session(SessionId),
    Sessions,
    Consent(String),
    Consents,
}

impl End {
    /// As the page's buttons name it.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "sessions" => Some(Self::Sessions),
            None if text == "consents" => Some(Self::Consents),
            Some(("session", sid)) => Some(Self::Session(sid.parse().ok()?)),
            Some(("consent", client_id)) => Some(Self::Consent(client_id.to_owned())),
            _ => None,
        }
    }
}

impl IdentityState {
    async fn account(
        &self,
        headers: &HeaderMap,
        language: Language,
    ) -> Result<Response, PageError> {
        let browser = self.browser(headers).await?;
        let (now, lifetime) = (self.clock.unix_s(), self.people.config.flow_lifetime_s);
        let mut flow = Flow::new(&browser.id, Errand::Account, now, lifetime);
        let Some(session) = &browser.session else {
            let page = self.login_page(headers, &flow, None).await?;
            return Ok(self.keep_browser(&browser, page));
        };
        flow.sid = Some(session.sid);
        let sealed = flow
            .seal(&self.people.keys, Stage::Own)
            .ok_or(PageError::Seal)?;
        let values = context! {
            flow => sealed,
            user => session.user.as_str(),
            sessions => self.own_sessions(session, language).await?,
            consents => self.own_consents(session, language).await?,
        };
        let pages = &self.people.pages;
        let page = pages.page("own.html", Look::new(language), "", values);
        Ok(self.keep_browser(&browser, page))
    }

    /// To the page, with the cookies of a login that led there.
    pub(crate) fn to_account(&self) -> Response {
        see_other(&format!("{}/account", self.tokens.issuer()))
    }

    async fn own_sessions(
        &self,
        own: &Session,
        language: Language,
    ) -> Result<Vec<Value>, PageError> {
        let store = &self.people.store;
        let (now, idle_s) = (self.clock.unix_s(), self.people.config.session_idle_s);
        let page = IdPage::first(SESSIONS_MAX);
        let found = store.session_list(&own.org, Some(own.user_id), now, &page);
        let mut found = found.await?;
        let user = self.store.user_get(&own.org, &own.user).await?;
        found.retain(|session| session.is_live(user.as_ref(), now, idle_s));
        // This one first, then the newest.
        found.sort_by_key(|session| (session.sid != own.sid, u64::MAX - session.login.at_unix_s));
        let sids: Vec<SessionId> = found.iter().map(|session| session.sid).collect();
        let mut clients: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
        for grant in store.grants_of_sessions(&sids).await? {
            if let Some(sid) = grant.sid {
                clients.entry(sid).or_default().insert(grant.client_id);
            }
        }
        let mut rows = Vec::new();
        for session in found {
            let mut names = Vec::new();
            for client_id in clients.remove(&session.sid).unwrap_or_default() {
                names.push(self.client_name(&client_id).await?);
            }
            rows.push(context! {
                sid => session.sid.to_string(),
                this => session.sid == own.sid,
                since => shown_time(session.login.at_unix_s),
                seen => shown_time(session.seen_unix_s),
                address => session.place.address.unwrap_or_default(),
                agent => session.place.agent.unwrap_or_else(|| language.text("own_unknown_browser").to_owned()),
                clients => names.join(", "),
            });
        }
        Ok(rows)
    }

    async fn own_consents(
        &self,
        own: &Session,
        language: Language,
    ) -> Result<Vec<Value>, PageError> {
        let mut rows = Vec::new();
        for consent in self.people.store.consent_list(own.user_id).await? {
            let scopes: Vec<Value> = consent
                .scopes
                .iter()
                .map(|scope| context! { name => scope, text => text_of(language, scope) })
                .collect();
            rows.push(context! {
                client => self.client_name(&consent.client_id).await?,
                client_id => consent.client_id,
                scopes => scopes,
                resources => Vec::from_iter(consent.resources),
                since => shown_time(consent.at_unix_ms / 1000),
            });
        }
        Ok(rows)
    }

    /// What people call a client; its id when it is gone.
    async fn client_name(&self, client_id: &str) -> Result<String, PageError> {
        let found = self.store.client_get(client_id).await?;
        let name = found.as_ref().map(name_of);
        Ok(name.unwrap_or(client_id).to_owned())
    }

    async fn end_own(&self, form: &mut PageForm) -> Result<Response, PageError> {
        let end = form.form.get("end").and_then(End::parse);
        let (Some(end), Some(own)) = (end, form.browser.session.clone()) else {
            return Ok(self.form_over(&form.headers));
        };
        let logs_out = match &end {
            End::Session(sid) => *sid == own.sid,
            End::Sessions => true,
            End::Consent(_) | End::Consents => false,
        };
        let request = trace_id(&form.headers);
        for write in self.own_writes(&own, end).await? {
            let ended = self.end(&own.org, &own.user, Some(request.clone()), write);
            match ended.await {
                // Somebody was faster.
                Ok(()) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !logs_out {
            return Ok(self.to_account());
        }
        self.metrics.logouts.count();
        Self::session_forget(&mut form.browser);
        let language = language_of(&form.headers, None);
        let pages = &self.people.pages;
        Ok(pages.done(language, "logged_out_title", "logged_out"))
    }

    /// What is written; nothing for somebody else's.
    async fn own_writes(&self, own: &Session, end: End) -> Result<Vec<Write>, PageError> {
        let expires_unix_s = self.ends_unix_s();
        let user = own.user_id;
        let consent = |client_id: String| Write::ConsentDelete {
            user,
            client_id,
            expires_unix_s,
        };
        let store = &self.people.store;
        Ok(match end {
            End::Session(sid) => {
                let found = store.session_find(sid).await?;
                let found = found.filter(|found| found.user_id == user);
                let write = |_| Write::SessionEnd {
                    sid,
                    expires_unix_s,
                };
                found.map(write).into_iter().collect()
            }
            End::Sessions => vec![Write::SessionsEnd {
                user,
                expires_unix_s,
            }],
            End::Consent(client_id) => vec![consent(client_id)],
            End::Consents => {
                let all = store.consent_list(user).await?;
                all.into_iter().map(|one| consent(one.client_id)).collect()
            }
        })
    }
}

/// A time as people read it, wherever they are.
fn shown_time(unix_s: u64) -> String {
    let seconds = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
