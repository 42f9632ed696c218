//! What a browser carries from page to page: sealed, so that nobody reads or changes it, and bound to that browser.
//!
//! A form holds its flow in a hidden field. It opens in the browser that it was made for (a cookie), on the page that it
//! was made for (the stage), for a quarter of an hour: so it is the protection against forged requests too. The server
//! keeps nothing, so nobody can fill its database by starting flows
//! ([why](../../../docs/adr/0036-what-a-browser-carries.md)).

use base::{Digest, Secret, SessionId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credentials::KeyFile;
use serde::{Deserialize, Serialize};

use crate::authorize::AuthorizationRequest;

/// The page whose form a flow belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Login,
    Account,
    Consent,
    DeviceEnter,
    DeviceDecide,
    Logout,
    Own,
}

impl Stage {
    /// A flow that was sealed for one stage does not open at another.
    fn context(self) -> &'static str {
        match self {
            Self::Login => "flow:login",
            Self::Account => "flow:account",
            Self::Consent => "flow:consent",
            Self::DeviceEnter => "flow:device-enter",
            Self::DeviceDecide => "flow:device-decide",
            Self::Logout => "flow:logout",
            Self::Own => "flow:own",
        }
    }
}

/// On what errand somebody came.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// For a client that waits for a code.
    Authorize(Box<AuthorizationRequest>),
    /// For a device with this user code.
    Device(String),
    /// To type a device's user code.
    DeviceEnter,
    /// To log out; where to go then.
    Logout(LogoutErrand),
    /// To see one's own sessions and what one allowed.
    Account,
}

/// What is done when somebody has confirmed a logout.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LogoutErrand {
    /// Where to go then, checked.
    pub(crate) redirect_uri: Option<String>,
    /// What the client wants back.
    pub(crate) state: Option<String>,
}

/// What a browser carries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// When it ends, in seconds since 1970.
    expires_unix_s: u64,
    /// The digest of the browser's cookie.
    browser: Digest,
    /// The session that there was when it began: a login within the flow gives another one.
    pub(crate) begun_sid: Option<SessionId>,
    /// The session whose page this is; `None` where nobody has to be logged in.
    pub(crate) sid: Option<SessionId>,
    /// Somebody chose to go on with the account that is logged in.
    pub(crate) chosen: bool,
    /// What for.
    pub(crate) errand: Errand,
}

impl Flow {
    /// A flow that begins in the browser with this cookie.
    pub(crate) fn new(browser: &str, errand: Errand, now_unix_s: u64, lifetime_s: u64) -> Self {
        Self {
            expires_unix_s: now_unix_s.saturating_add(lifetime_s),
            browser: Digest::of(browser.as_bytes()),
            begun_sid: None,
            sid: None,
            chosen: false,
            errand,
        }
    }

    /// The text for the form of this stage; `None` when the system gives no randomness.
    pub(crate) fn seal(&self, keys: &KeyFile, stage: Stage) -> Option<String> {
        let plain = serde_json::to_vec(self).expect("a flow is plain data");
        let sealed = keys.seal(stage.context(), &Secret::new(plain)).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The flow of a form; `None` when it is none, of another stage or browser, or over.
    pub(crate) fn open(
        text: &str,
        keys: &KeyFile,
        stage: Stage,
        browser: &str,
        now_unix_s: u64,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = keys.unseal(stage.context(), &sealed).ok()?;
        let flow: Self = serde_json::from_slice(plain.expose()).ok()?;
        let ours = flow.browser == Digest::of(browser.as_bytes());
        (ours && now_unix_s < flow.expires_unix_s).then_some(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> KeyFile {
        KeyFile::from_root(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn a_flow_opens_where_it_was_sealed_for_and_nowhere_else() {
        let flow = Flow::new("browser", Errand::Device("BCDFGHJK".to_owned()), 100, 900);
        let text = flow.seal(&keys(1), Stage::Consent).unwrap();
        let open = |text: &str, keys: &KeyFile, stage, browser, now| {
            Flow::open(text, keys, stage, browser, now)
        };
        assert_eq!(
            open(&text, &keys(1), Stage::Consent, "browser", 999),
            Some(flow)
        );
        for (opened, why) in [
            (open(&text, &keys(2), Stage::Consent, "browser", 100), "key"),
            (open(&text, &keys(1), Stage::Login, "browser", 100), "stage"),
            (
                open(&text, &keys(1), Stage::Consent, "other", 100),
                "browser",
            ),
            (
                open(&text, &keys(1), Stage::Consent, "browser", 1000),
                "time",
            ),
            (open("", &keys(1), Stage::Consent, "browser", 100), "empty"),
            (
                open(&text[1..], &keys(1), Stage::Consent, "browser", 100),
                "cut",
            ),
        ] {
            assert_eq!(opened, None, "{why}");
        }
        assert!(!text.contains("BCDFGHJK"));
    }
}
