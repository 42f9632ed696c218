//! What the platform has answered, and whether it still holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::actors::Scene;
use super::site::{Answer, Secret, Site};
use super::tab::{CALLBACK, Tab, VERIFIER};
use super::withdrawing::Way;

/// Something that has to be true after the restart.
#[derive(Clone)]
pub(crate) enum Claim {
    /// An access token that was revoked, by itself or with others.
    Refused(String),
    /// An access token that nobody revoked.
    LetIn(String),
    /// A client whose secret was answered.
    ClientWorks(Secret),
    /// A client that was deleted.
    ClientGone(Secret),
    /// An API key that was answered.
    KeyWorks(String),
    /// An API key that was deleted.
    KeyGone(String),
    /// A browser in which somebody is logged in.
    LoggedIn(Tab),
    /// A browser in which somebody logged out.
    LoggedOut(Tab),
    /// A browser whose user is logged in and has taken back what the client was allowed.
    TakenBack(Tab),
    /// An authorization code whose session or consent has ended.
    CodeGone(String),
    /// An authorization code.
    Code(String, CodeState),
    /// The refresh tokens of a grant.
    Family(Family),
    /// A refresh token whose grant, session or user is over.
    RefreshGone(String),
    /// An end that was asked for and not answered: asked for once more, it has to hold.
    Again(End, String),
    /// A registration token that is good for so many clients; so many were registered, and so many more perhaps.
    Registrations {
        token: String,
        uses: usize,
        taken: usize,
        doubtful: usize,
    },
}

/// The longest that a code lasts.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) enum CodeState {
    /// Nobody has used it; it was asked for then.
    Fresh(Instant),
    /// It was used, with this access token as the answer.
    Used(Option<String>),
    /// It was sent and there was no answer.
    Doubtful,
}

#[derive(Clone)]
pub(crate) struct Family {
    /// The newest refresh token.
    pub(crate) live: String,
    /// Those before it, each of which gave the next, and siblings that were passed over.
    pub(crate) spent: Vec<String>,
    /// All access tokens.
    pub(crate) access: Vec<String>,
    pub(crate) state: FamilyState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FamilyState {
    /// The newest token was answered.
    Lives,
    /// The newest token was sent, and there was no answer.
    Doubtful,
    /// A spent token came again and was refused: all is over.
    Over,
    /// A spent token came again and there was no answer.
    OverPerhaps,
}

/// What ends tokens, as a client asks for it.
#[derive(Clone)]
pub(crate) enum End {
    LogOut(Tab, String),
    Revoke(String),
    /// With the codes that were not used.
    Withdraw(Way, Tab, Vec<String>),
}

/// What the actors of a round note.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    claims: Arc<Mutex<Vec<Claim>>>,
    answers: Arc<AtomicUsize>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn claim(&self, claim: Claim) {
        self.claims.lock().unwrap().push(claim);
    }

    /// Something was answered.
    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn until(&self, answers: usize, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.answers.load(Ordering::Relaxed) < answers {
            assert!(Instant::now() < deadline, "too few answers");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many answers there were, and what they claim.
    pub(crate) fn close(&self) -> (usize, Vec<Claim>) {
        let claims = std::mem::take(&mut *self.claims.lock().unwrap());
        (self.answers.load(Ordering::Relaxed), claims)
    }
}

/// What was held against the platform.
#[derive(Default)]
pub(crate) struct Tested {
    counts: BTreeMap<&'static str, usize>,
    /// What stays true, for later rounds.
    pub(crate) for_ever: Vec<Claim>,
}

impl Tested {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self
            .counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        f.write_str(&counts.join(", "))
    }
}

/// Holds claims against the platform: first of all what must be refused, since it has to be so from the first call on.
pub(crate) async fn hold(
    site: &Site,
    scene: &Scene,
    old: &[Claim],
    claims: Vec<Claim>,
    tested: &mut Tested,
) {
    let (ends, others): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_for_ever);
    for claim in ends.iter().chain(old) {
        hold_end(site, claim, tested).await;
    }
    tested.for_ever.extend(ends);
    for claim in others {
        let check = Check { site, scene };
        check.hold(claim, tested).await;
    }
}

fn is_for_ever(claim: &Claim) -> bool {
    matches!(
        claim,
        Claim::Refused(_) | Claim::ClientGone(_) | Claim::KeyGone(_)
    )
}

async fn hold_end(site: &Site, claim: &Claim, tested: &mut Tested) {
    match claim {
        Claim::Refused(token) => {
            tested.count("revoked tokens refused");
            assert!(!site.lets_in(token).await, "a revoked token: {token}");
        }
        Claim::KeyGone(key) => {
            tested.count("deleted keys refused");
            assert_eq!(site.call("x-api-key", key).await, 401, "a deleted key");
        }
        Claim::ClientGone(client) => {
            tested.count("deleted clients refused");
            let fields = [("grant_type", "client_credentials")];
            let answer = site.form(client, "/oauth2/token", &fields).await.unwrap();
            assert_eq!(answer.status, 401, "a deleted client: {}", answer.text);
        }
        _ => unreachable!("told apart by `is_for_ever`"),
    }
}

struct Check<'a> {
    site: &'a Site,
    scene: &'a Scene,
}

impl Check<'_> {
    async fn hold(&self, claim: Claim, tested: &mut Tested) {
        let site = self.site;
        match claim {
            Claim::LetIn(token) => {
                tested.count("tokens let in");
                assert!(site.lets_in(&token).await, "a good token: {token}");
            }
            Claim::ClientWorks(client) => {
                tested.count("new clients");
                let fields = [("grant_type", "client_credentials")];
                let answer = site.form(&client, "/oauth2/token", &fields).await;
                assert_eq!(answer.unwrap().status, 200, "{client:?}");
            }
            Claim::KeyWorks(key) => {
                tested.count("new keys");
                assert_eq!(site.call("x-api-key", &key).await, 200, "a new key");
            }
            Claim::LoggedIn(tab) => {
                tested.count("sessions");
                assert!(tab.is_logged_in(site, &self.scene.web).await);
            }
            Claim::LoggedOut(tab) => {
                tested.count("ended sessions");
                assert!(!tab.is_logged_in(site, &self.scene.web).await);
            }
            Claim::TakenBack(mut tab) => {
                tested.count("consents taken back");
                let answer = tab.silent(site, &self.scene.web).await.unwrap();
                assert_eq!(answer, Err("consent_required".to_owned()));
            }
            Claim::CodeGone(code) => {
                tested.count("codes of what has ended");
                let answer = self.redeem(&code).await;
                assert_eq!(answer.status, 400, "{code}: {}", answer.text);
            }
            Claim::Code(code, state) => self.code(&code, state, tested).await,
            Claim::Family(family) => self.family(family, tested).await,
            Claim::RefreshGone(token) => {
                tested.count("refresh tokens refused");
                assert_eq!(self.refresh(&token).await.status, 400, "{token}");
            }
            Claim::Again(end, access) => self.again(end, &access, tested).await,
            Claim::Registrations {
                token,
                uses,
                taken,
                doubtful,
            } => {
                tested.count("registration tokens");
                let mut more = 0;
                while site.register(&token).await.unwrap().status == 201 {
                    more += 1;
                }
                let all = taken + more;
                assert!(all <= uses, "{all} registrations of {uses}");
                assert!(all + doubtful >= uses, "{all} + {doubtful} of {uses}");
            }
            Claim::Refused(_) | Claim::ClientGone(_) | Claim::KeyGone(_) => {
                unreachable!("held before")
            }
        }
    }

    async fn redeem(&self, code: &str) -> Answer {
        redeem(self.site, &self.scene.web, code).await.unwrap()
    }

    async fn refresh(&self, token: &str) -> Answer {
        refresh(self.site, &self.scene.web, token).await.unwrap()
    }

    async fn all_refused(&self, access: &[String], why: &str) {
        for token in access {
            assert!(!self.site.lets_in(token).await, "{why}: {token}");
        }
    }

    async fn code(&self, code: &str, state: CodeState, tested: &mut Tested) {
        let mut access = None;
        match state {
            CodeState::Used(token) => {
                tested.count("used codes");
                access = token;
            }
            CodeState::Fresh(asked) => {
                let answer = self.redeem(code).await;
                // On a machine that stood still for so long it has ended.
                if answer.status == 400 && asked.elapsed() >= CODE_LIFETIME {
                    return tested.count("codes that were too old");
                }
                tested.count("fresh codes");
                assert_eq!(answer.status, 200, "a fresh code: {}", answer.text);
                access = Some(answer.member("access_token"));
            }
            CodeState::Doubtful => {
                tested.count("codes without an answer");
                let answer = self.redeem(code).await;
                if answer.status == 200 {
                    access = Some(answer.member("access_token"));
                }
            }
        }
        if let Some(token) = &access {
            assert!(self.site.lets_in(token).await, "before the replay");
        }
        let answer = self.redeem(code).await;
        assert_eq!(answer.status, 400, "a second time: {}", answer.text);
        // RFC 6749 §4.1.2: what it gave is over.
        self.all_refused(access.as_slice(), "a replayed code").await;
    }

    async fn family(&self, family: Family, tested: &mut Tested) {
        let Family {
            live,
            spent,
            mut access,
            state,
        } = family;
        match state {
            FamilyState::Lives | FamilyState::Doubtful => {
                tested.count(if state == FamilyState::Lives {
                    "refresh tokens"
                } else {
                    "refresh tokens without an answer"
                });
                let answer = self.refresh(&live).await;
                assert_eq!(answer.status, 200, "within the grace: {}", answer.text);
                access.push(answer.member("access_token"));
                for token in &access {
                    assert!(self.site.lets_in(token).await, "of a live family");
                }
                let newest = answer.member("refresh_token");
                let Some(spent) = spent.first() else { return };
                tested.count("spent refresh tokens");
                let answer = self.refresh(spent).await;
                assert_eq!(answer.status, 400, "a spent one: {}", answer.text);
                assert_eq!(self.refresh(&newest).await.status, 400, "its family");
                self.all_refused(&access, "a replayed refresh token").await;
            }
            FamilyState::Over => {
                tested.count("families that were over");
                self.all_refused(&access, "of a family that is over").await;
                assert_eq!(self.refresh(&live).await.status, 400);
            }
            FamilyState::OverPerhaps => {
                tested.count("families that were over perhaps");
                if self.refresh(&live).await.status == 400 {
                    self.all_refused(&access, "of a family that is over").await;
                }
            }
        }
    }

    async fn again(&self, end: End, access: &str, tested: &mut Tested) {
        tested.count("ends asked for again");
        let answer = match end {
            End::LogOut(mut tab, id_token) => tab.log_out(self.site, &id_token).await,
            End::Revoke(token) => revoke(self.site, &self.scene.web, &token).await,
            End::Withdraw(way, mut tab, codes) => {
                let answer = way.go(self.site, &mut tab, &self.scene.web).await;
                for code in codes {
                    assert_eq!(self.redeem(&code).await.status, 400, "{code}");
                }
                answer
            }
        };
        let answer = answer.unwrap();
        // 404: it was done before, and nobody heard.
        assert!(answer.is_done() || answer.status == 404, "{}", answer.text);
        assert!(!self.site.lets_in(access).await, "it was ended: {access}");
    }
}

/// Exchanges a code.
pub(crate) async fn redeem(
    site: &Site,
    client: &Secret,
    code: &str,
) -> Result<Answer, super::site::Lost> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    site.form(client, "/oauth2/token", &fields).await
}

/// Uses a refresh token.
pub(crate) async fn refresh(
    site: &Site,
    client: &Secret,
    token: &str,
) -> Result<Answer, super::site::Lost> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    site.form(client, "/oauth2/token", &fields).await
}

/// Revokes a token of a client's own.
pub(crate) async fn revoke(
    site: &Site,
    client: &Secret,
    token: &str,
) -> Result<Answer, super::site::Lost> {
    site.form(client, "/oauth2/revoke", &[("token", token)])
        .await
}
