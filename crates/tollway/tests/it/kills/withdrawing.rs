//! Users who take back what they allowed, and end their sessions, by the REST API and on their page, while the client is
//! being given more.

use reqwest::Method;

use super::actors::{Actor, Forever};
use super::claims::{Claim, End};
use super::site::{Answer, Lost, Secret, Site};
use super::tab::Tab;

/// What ends everything that a client has for a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ConsentByRest,
    ConsentOnPage,
    SessionsByRest,
    SessionsOnPage,
}

impl Way {
    const ALL: [Self; 4] = [
        Self::ConsentByRest,
        Self::SessionsOnPage,
        Self::ConsentOnPage,
        Self::SessionsByRest,
    ];

    /// Whether the user stays logged in.
    pub(crate) fn is_of_consent(self) -> bool {
        matches!(self, Self::ConsentByRest | Self::ConsentOnPage)
    }

    /// Goes it; [`Answer::is_done`] says whether the end was promised.
    pub(crate) async fn go(
        self,
        site: &Site,
        tab: &mut Tab,
        client: &Secret,
    ) -> Result<Answer, Lost> {
        match self {
            Self::ConsentByRest => {
                let path = format!("/consents/{}?user={}", client.id, tab.name());
                site.admin(Method::DELETE, &path, None).await
            }
            Self::SessionsByRest => {
                let path = format!("/sessions?user={}", tab.name());
                site.admin(Method::DELETE, &path, None).await
            }
            Self::ConsentOnPage => {
                tab.end_on_page(site, &format!("consent:{}", client.id))
                    .await
            }
            Self::SessionsOnPage => tab.end_on_page(site, "sessions").await,
        }
    }
}

impl Actor {
    /// Each user allows the client something, and ends it while another tab asks for more.
    pub(super) async fn withdrawing(&self) -> Forever {
        let web = &self.scene.web;
        for number in self.round.. {
            let name = format!("leaver-{}-{number}", self.round);
            let (mut tab, answer) = self.arrives(&name).await?;
            let access = answer.member("access_token");
            let refresh = answer.member("refresh_token");
            let unused = tab.code(&self.site, web).await?;
            let way = Way::ALL[number % Way::ALL.len()];
            let (before, mut other) = (tab.clone(), tab.clone());
            let (ended, meanwhile) = tokio::join!(
                way.go(&self.site, &mut tab, web),
                other.silent(&self.site, web),
            );
            let mut codes = vec![unused];
            codes.extend(meanwhile.ok().and_then(Result::ok));
            let Ok(ended) = ended else {
                let end = End::Withdraw(way, before, codes);
                self.ledger.claim(Claim::Again(end, access));
                return Err(Lost);
            };
            assert!(ended.is_done(), "{} {}", ended.status, ended.text);
            self.ledger.answered();
            for code in codes {
                self.ledger.claim(Claim::CodeGone(code));
            }
            self.ledger.claim(if way.is_of_consent() {
                Claim::TakenBack(before)
            } else {
                Claim::LoggedOut(before)
            });
            self.ledger.claim(Claim::Refused(access));
            self.ledger.claim(Claim::RefreshGone(refresh));
        }
        unreachable!("numbers do not end")
    }
}
