//! The browser that a request comes from, and who is logged in there.

use axum::response::Response;
use base::{Digest, Org, SessionId};
use credentials::{NoRandomness, random_text};
use http::header::ORIGIN;
use http::{HeaderMap, Method};
use store::grants::{Login, Place, Session};
use store::{StoreError, User};

use crate::IdentityState;
use crate::cookies::{Cookie, origin_of};

/// Bits of the secrets in cookies.
const COOKIE_BITS: usize = 160;
/// A session's use is noted when the last note is older than this, in seconds.
const SEEN_EVERY_S: u64 = 60;
/// How somebody logs in: a password (RFC 8176 §2).
const AMR: &str = "pwd";
/// The one class of authentication that there is so far.
pub(crate) const ACR: &str = "urn:tollway:acr:password";

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// The store's.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The system gives no randomness.
    #[error("no secret could be made")]
    Random(#[from] NoRandomness),
    /// A flow could not be sealed.
    #[error("the page's form could not be sealed")]
    Seal,
}

/// The browser that a request comes from.
pub(crate) struct Browser {
    /// The secret of its cookie.
    pub(crate) id: String,
    /// The cookie is not there yet.
    new: bool,
    /// Who is logged in.
    pub(crate) session: Option<Session>,
    /// The session that the cookie names, whether it is good or not: it ends at the next login.
    named: Option<Digest>,
    /// The secret of a session that began just now.
    begun: Option<String>,
    /// The session ended just now.
    ended: bool,
}

impl Browser {
    /// The session, when it is one of this organisation.
    pub(crate) fn session_of(&self, org: &Org) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.org == *org)
    }
}

impl IdentityState {
    /// The browser of a request; a new one gets its cookie with [`IdentityState::keep_browser`].
    pub(crate) async fn browser(&self, headers: &HeaderMap) -> Result<Browser, PageError> {
        let cookies = self.people.cookies;
        let (id, new) = match cookies.get(headers, Cookie::Browser) {
            Some(id) => (id.to_owned(), false),
            None => (random_text("", COOKIE_BITS)?, true),
        };
        let named = cookies
            .get(headers, Cookie::Session)
            .map(|secret| Digest::of(secret.as_bytes()));
        let session = match &named {
            Some(hash) => self.live_session(hash).await?,
            None => None,
        };
        Ok(Browser {
            id,
            new,
            session,
            named,
            begun: None,
            ended: false,
        })
    }

    /// The session of a cookie, unless it is over, or its user is gone or has another password by now.
    async fn live_session(&self, hash: &Digest) -> Result<Option<Session>, PageError> {
        let Some(session) = self.people.store.session_get(hash).await? else {
            return Ok(None);
        };
        let now = self.clock.unix_s();
        let user = self.store.user_get(&session.org, &session.user).await?;
        if !session.is_live(user.as_ref(), now, self.people.config.session_idle_s) {
            return Ok(None);
        }
        let idle = now.saturating_sub(session.seen_unix_s);
        if idle >= SEEN_EVERY_S {
            self.people.store.session_seen(hash, now).await?;
        }
        Ok(Some(session))
    }

    /// Begins a session for somebody who proved who they are. Its id is new, and what the browser had before is over: a
    /// cookie that somebody planted is worth nothing.
    pub(crate) async fn session_begin(
        &self,
        browser: &mut Browser,
        user: &User,
        place: Place,
    ) -> Result<(), PageError> {
        let before = match &browser.named {
            Some(hash) => self.people.store.session_get(hash).await?,
            None => None,
        };
        // Whoever goes on as the same user does not log out; somebody else does.
        if let Some(before) = before.filter(|before| before.user_id != user.id) {
            let (org, user) = (&before.org, &before.user);
            self.end_session_of(org, user, None, before.sid).await?;
        }
        let secret = random_text("", COOKIE_BITS)?;
        let now = self.clock.unix_s();
        let session = Session {
            hash: Digest::of(secret.as_bytes()),
            sid: SessionId::generate(),
            org: user.org.clone(),
            user_id: user.id,
            user: user.name.clone(),
            seen_unix_s: now,
            expires_unix_s: now.saturating_add(self.people.config.session_lifetime_s),
            login: Login {
                at_unix_s: now,
                amr: vec![AMR.to_owned()],
                acr: ACR.to_owned(),
                stamp: user.password_stamp(),
            },
            place,
        };
        let store = &self.people.store;
        store.session_put(&session, browser.named.as_ref()).await?;
        browser.session = Some(session);
        browser.begun = Some(secret);
        Ok(())
    }

    /// Forgets the session's cookie with the answer.
    pub(crate) fn session_forget(browser: &mut Browser) {
        browser.session = None;
        browser.ended = true;
    }

    /// Sets the cookies that the browser lacks.
    pub(crate) fn keep_browser(&self, browser: &Browser, mut response: Response) -> Response {
        let cookies = self.people.cookies;
        let headers = response.headers_mut();
        if browser.new {
            cookies.set(headers, Cookie::Browser, &browser.id);
        }
        if let Some(secret) = &browser.begun {
            cookies.set(headers, Cookie::Session, secret);
        } else if browser.ended {
            cookies.clear(headers, Cookie::Session);
        }
        response
    }

    /// Whether a form comes from one of our own pages, as far as the browser says. The flow in the form says it as well;
    /// this stops what a browser tells us is foreign.
    pub(crate) fn is_own_form(&self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if method != Method::POST {
            return true;
        }
        if let Some(site) = text("sec-fetch-site")
            && !matches!(site, "same-origin" | "none")
        {
            return false;
        }
        headers
            .get(ORIGIN)
            .is_none_or(|origin| origin.as_bytes() == origin_of(self.tokens.issuer()).as_bytes())
    }
}
