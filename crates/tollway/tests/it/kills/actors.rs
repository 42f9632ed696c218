//! Who uses the platform in a round, until it is gone.

use std::sync::Arc;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::claims::{Claim, CodeState, End, Family, FamilyState, Ledger, redeem, refresh, revoke};
use super::site::{Answer, Backend, Lost, Secret, Site};
use super::tab::{CALLBACK, Tab};
use crate::platform::{PASSWORD, User};

const DEFINITION: &str = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths: {/x: {get: {responses: {'200': {description: ok}}}}}\n";
/// Clients that a registration token is good for.
const USES: usize = 2;

/// What all rounds share.
pub(crate) struct Scene {
    /// A client for users and for itself; its tokens are JWTs.
    pub(crate) web: Secret,
    /// A client for itself; its tokens are opaque.
    opaque: Secret,
    /// Browsers of the admin: logged in since before the first kill.
    tabs: [Tab; 2],
}

/// The clients of the moment.
pub(crate) struct Playing(JoinSet<Lost>);

impl Playing {
    /// Waits until all have seen the end.
    pub(crate) async fn ended(self) {
        // A panic of one of them is ours.
        self.0.join_all().await;
    }
}

impl Scene {
    pub(crate) async fn prepare(user: &User, backend: &Backend) -> Self {
        std::fs::write(user.path("t.yaml"), DEFINITION).unwrap();
        let url = format!("http://{}", backend.0);
        let import = "api import t.yaml --name t --version 1.0.0 --context /t --plan Unlimited --publish --backend";
        let mut import: Vec<&str> = import.split(' ').collect();
        import.push(&url);
        user.ok(&import);
        user.ok(&["app", "create", "shop"]);
        let subscribe = "subscription create --app shop --api t:1.0.0 --plan Unlimited";
        user.ok(&subscribe.split(' ').collect::<Vec<_>>());
        let site = Site::of(user);
        let web = client(&site, web_metadata()).await.unwrap();
        let opaque = json!({"access_token_format": "opaque"});
        let opaque = client(&site, opaque).await.unwrap();
        let tabs = [Tab::of("admin", PASSWORD), Tab::of("admin", PASSWORD)];
        let mut scene = Self { web, opaque, tabs };
        for tab in &mut scene.tabs {
            tab.code(&site, &scene.web).await.unwrap();
        }
        scene
    }
}

fn web_metadata() -> Value {
    json!({
        "grant_types": ["client_credentials", "authorization_code", "refresh_token"],
        "redirect_uris": [CALLBACK],
    })
}

async fn client(site: &Site, metadata: Value) -> Result<Secret, Lost> {
    let body = json!({"metadata": metadata});
    let made = site.made("/applications/shop/credentials", body).await?;
    Ok(Secret {
        id: made.member("clientId"),
        secret: made.member("clientSecret"),
    })
}

/// Starts the clients of a round.
pub(crate) fn play(scene: &Arc<Scene>, site: &Site, ledger: &Ledger, round: usize) -> Playing {
    let actor = || Actor {
        scene: Arc::clone(scene),
        site: site.clone(),
        ledger: ledger.clone(),
        round,
    };
    let mut all = JoinSet::new();
    for tab in &scene.tabs {
        ledger.claim(Claim::LoggedIn(tab.clone()));
    }
    let [codes, families] = scene.tabs.clone();
    for client in [&scene.web, &scene.opaque] {
        let (actor, client) = (actor(), client.clone());
        all.spawn(async move { ended(actor.tokens(&client).await) });
    }
    let one = actor();
    all.spawn(async move { ended(one.codes(codes).await) });
    let one = actor();
    all.spawn(async move { ended(one.families(families).await) });
    let one = actor();
    all.spawn(async move { ended(one.people().await) });
    let one = actor();
    all.spawn(async move { ended(one.withdrawing().await) });
    let one = actor();
    all.spawn(async move { ended(one.credentials().await) });
    Playing(all)
}

/// They go on until there is no answer.
fn ended(outcome: Result<std::convert::Infallible, Lost>) -> Lost {
    match outcome {
        Err(lost) => lost,
    }
}

pub(super) type Forever = Result<std::convert::Infallible, Lost>;

pub(super) struct Actor {
    pub(super) scene: Arc<Scene>,
    pub(super) site: Site,
    pub(super) ledger: Ledger,
    pub(super) round: usize,
}

impl Actor {
    /// Notes an answer that has to be this.
    #[track_caller]
    pub(super) fn answered(&self, answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{}", answer.text);
        self.ledger.answered();
    }

    /// Tokens of a client for itself: every second one is revoked.
    async fn tokens(&self, client: &Secret) -> Forever {
        for number in 0_u32.. {
            let fields = [("grant_type", "client_credentials")];
            let answer = self.site.form(client, "/oauth2/token", &fields).await?;
            self.answered(&answer, 200);
            let token = answer.member("access_token");
            if number % 2 == 0 {
                self.ledger.claim(Claim::LetIn(token));
                continue;
            }
            let fields = [("token", token.as_str())];
            let told = self
                .site
                .form(client, "/oauth2/introspect", &fields)
                .await?;
            self.answered(&told, 200);
            assert_eq!(told.json()["active"], true, "{}", told.text);
            let answer = revoke(&self.site, client, &token).await?;
            self.answered(&answer, 200);
            self.ledger.claim(Claim::Refused(token));
        }
        unreachable!("numbers do not end")
    }

    /// Codes: left alone, used, used twice at once.
    async fn codes(&self, mut tab: Tab) -> Forever {
        let web = &self.scene.web;
        for number in 0_u32.. {
            let asked = Instant::now();
            let code = tab.code(&self.site, web).await?;
            self.ledger.answered();
            let claim = |state| self.ledger.claim(Claim::Code(code.clone(), state));
            match number % 3 {
                0 => claim(CodeState::Fresh(asked)),
                1 => {
                    let Ok(answer) = redeem(&self.site, web, &code).await else {
                        claim(CodeState::Doubtful);
                        return Err(Lost);
                    };
                    self.answered(&answer, 200);
                    claim(CodeState::Used(Some(answer.member("access_token"))));
                }
                _ => {
                    let (one, two) = tokio::join!(
                        redeem(&self.site, web, &code),
                        redeem(&self.site, web, &code)
                    );
                    if one.is_err() && two.is_err() {
                        claim(CodeState::Doubtful);
                        return Err(Lost);
                    }
                    let (Ok(one), Ok(two)) = (one, two) else {
                        // One of the two may have ended what the other gave.
                        claim(CodeState::Used(None));
                        return Err(Lost);
                    };
                    let (good, bad) = if one.status == 200 {
                        (one, two)
                    } else {
                        (two, one)
                    };
                    self.answered(&good, 200);
                    self.answered(&bad, 400);
                    let access = good.member("access_token");
                    self.ledger.claim(Claim::Refused(access));
                    claim(CodeState::Used(None));
                }
            }
        }
        unreachable!("numbers do not end")
    }

    /// Families of refresh tokens: left alone, with a sibling, ended by a replay.
    async fn families(&self, mut tab: Tab) -> Forever {
        for number in 0_u32.. {
            let mut family = self.begin(&mut tab).await?;
            for _ in 0..2 {
                self.renew(&mut family).await?;
            }
            match number % 3 {
                0 => {}
                1 => {
                    let (one, two) = tokio::join!(
                        refresh(&self.site, &self.scene.web, &family.live),
                        refresh(&self.site, &self.scene.web, &family.live)
                    );
                    let (Ok(one), Ok(two)) = (one, two) else {
                        family.state = FamilyState::Doubtful;
                        self.ledger.claim(Claim::Family(family));
                        return Err(Lost);
                    };
                    for answer in [&one, &two] {
                        self.answered(answer, 200);
                        family.access.push(answer.member("access_token"));
                    }
                    let before = std::mem::replace(&mut family.live, one.member("refresh_token"));
                    family.spent.push(before);
                    // As soon as one sibling is used the other one is over.
                    self.renew(&mut family).await?;
                    family.spent.insert(0, two.member("refresh_token"));
                }
                _ => {
                    let spent = &family.spent[0];
                    match refresh(&self.site, &self.scene.web, spent).await {
                        Ok(answer) => {
                            self.answered(&answer, 400);
                            family.state = FamilyState::Over;
                        }
                        Err(Lost) => {
                            family.state = FamilyState::OverPerhaps;
                            self.ledger.claim(Claim::Family(family));
                            return Err(Lost);
                        }
                    }
                }
            }
            self.ledger.claim(Claim::Family(family));
        }
        unreachable!("numbers do not end")
    }

    async fn begin(&self, tab: &mut Tab) -> Result<Family, Lost> {
        let code = tab.code(&self.site, &self.scene.web).await?;
        let Ok(answer) = redeem(&self.site, &self.scene.web, &code).await else {
            self.ledger.claim(Claim::Code(code, CodeState::Doubtful));
            return Err(Lost);
        };
        self.answered(&answer, 200);
        Ok(Family {
            live: answer.member("refresh_token"),
            spent: Vec::new(),
            access: vec![answer.member("access_token")],
            state: FamilyState::Lives,
        })
    }

    async fn renew(&self, family: &mut Family) -> Result<(), Lost> {
        let Ok(answer) = refresh(&self.site, &self.scene.web, &family.live).await else {
            family.state = FamilyState::Doubtful;
            self.ledger.claim(Claim::Family(family.clone()));
            return Err(Lost);
        };
        self.answered(&answer, 200);
        let next = answer.member("refresh_token");
        family.spent.push(std::mem::replace(&mut family.live, next));
        family.access.push(answer.member("access_token"));
        Ok(())
    }

    /// A new user with this name, who has logged in and given the client what it redeemed.
    pub(super) async fn arrives(&self, name: &str) -> Result<(Tab, Answer), Lost> {
        let web = &self.scene.web;
        let password = format!("a password of {name} 9");
        let user = json!({"name": name, "password": password, "roles": ["subscriber"]});
        let made = self.site.made("/users", user).await?;
        self.answered(&made, 201);
        let mut tab = Tab::of(name, &password);
        let code = tab.code(&self.site, web).await?;
        let answer = redeem(&self.site, web, &code).await?;
        self.answered(&answer, 200);
        Ok((tab, answer))
    }

    /// Users who log in, log out, get another password, go; a client that gives a refresh token back.
    async fn people(&self) -> Forever {
        let web = &self.scene.web;
        for number in 0_u32.. {
            let name = format!("user-{}-{number}", self.round);
            let (mut tab, answer) = self.arrives(&name).await?;
            let access = answer.member("access_token");
            let refresh = answer.member("refresh_token");
            let path = format!("/users/{name}");
            let (status, ended) = match number % 4 {
                0 => {
                    let id_token = answer.member("id_token");
                    let again = End::LogOut(tab.clone(), id_token.clone());
                    let before = tab.clone();
                    let out = tab.log_out(&self.site, &id_token).await;
                    self.or_again(&out, again, &access);
                    if out.is_ok() {
                        self.ledger.claim(Claim::LoggedOut(before));
                    }
                    (200, out)
                }
                1 => {
                    let out = revoke(&self.site, web, &refresh).await;
                    self.or_again(&out, End::Revoke(refresh.clone()), &access);
                    (200, out)
                }
                2 => {
                    let change = json!({"password": format!("another password of {name} 9")});
                    let out = self.site.admin(Method::PATCH, &path, Some(change)).await;
                    (200, out)
                }
                _ => (204, self.site.admin(Method::DELETE, &path, None).await),
            };
            self.answered(&ended?, status);
            self.ledger.claim(Claim::Refused(access));
            self.ledger.claim(Claim::RefreshGone(refresh));
        }
        unreachable!("numbers do not end")
    }

    /// An end without an answer is asked for again after the restart.
    fn or_again(&self, outcome: &Result<Answer, Lost>, end: End, access: &str) {
        if outcome.is_err() {
            self.ledger.claim(Claim::Again(end, access.to_owned()));
        }
    }

    /// Clients and keys that come and go, and clients that register themselves.
    async fn credentials(&self) -> Forever {
        // One of its own for each round: an application holds so many credentials.
        let app = format!("till-{}", self.round);
        let application = json!({"kind": "Application", "metadata": {"name": app}, "spec": {}});
        self.site.made("/applications", application).await?;
        let subscription = json!({
            "kind": "Subscription", "metadata": {"name": app},
            "spec": {"application": app, "api": {"name": "t", "version": "1.0.0"}, "plan": "Unlimited"},
        });
        self.site.made("/subscriptions", subscription).await?;
        let clients = &format!("/applications/{app}/credentials");
        let keys = &format!("/applications/{app}/api-keys");
        for number in 0_u32.. {
            let made = self.site.made(clients, json!({})).await?;
            self.answered(&made, 201);
            let client = Secret {
                id: made.member("clientId"),
                secret: made.member("clientSecret"),
            };
            if number % 2 == 0 {
                self.ledger.claim(Claim::ClientWorks(client));
            } else {
                let fields = [("grant_type", "client_credentials")];
                let answer = self.site.form(&client, "/oauth2/token", &fields).await?;
                self.answered(&answer, 200);
                let path = format!("{clients}/{}", made.member("id"));
                let gone = self.site.admin(Method::DELETE, &path, None).await?;
                self.answered(&gone, 204);
                self.ledger.claim(Claim::ClientGone(client));
                let access = answer.member("access_token");
                self.ledger.claim(Claim::Refused(access));
            }
            let made = self.site.made(keys, json!({})).await?;
            self.answered(&made, 201);
            if number % 2 == 0 {
                let path = format!("{keys}/{}", made.member("id"));
                let gone = self.site.admin(Method::DELETE, &path, None).await?;
                self.answered(&gone, 204);
                self.ledger.claim(Claim::KeyGone(made.member("key")));
            } else {
                self.ledger.claim(Claim::KeyWorks(made.member("key")));
            }
            self.register().await?;
        }
        unreachable!("numbers do not end")
    }

    /// One registration of two, with a token for two.
    async fn register(&self) -> Result<(), Lost> {
        let wish = json!({"uses": USES, "expiresIn": 3600});
        let made = self.site.made("/registration-tokens", wish).await?;
        self.answered(&made, 201);
        let token = made.member("token");
        let answer = self.site.register(&token).await;
        let registered = answer.is_ok();
        self.ledger.claim(Claim::Registrations {
            token,
            uses: USES,
            taken: usize::from(registered),
            doubtful: usize::from(!registered),
        });
        let answer = answer?;
        self.answered(&answer, 201);
        let client = Secret {
            id: answer.member("client_id"),
            secret: answer.member("client_secret"),
        };
        self.ledger.claim(Claim::ClientWorks(client));
        Ok(())
    }
}
