//! Rules of operators that refuse callers, whichever API they call.

use base::Org;
use expr::Expr;
use ipnet::IpNet;

use crate::context::{Principal, RequestCx};

/// A rule, as nodes hold calls against it.
#[derive(Debug)]
pub struct DenyRule {
    /// Whose APIs it protects.
    pub org: Org,
    /// Its document's name.
    pub name: String,
    /// Networks of clients; empty = whatever the address.
    pub clients: Vec<IpNet>,
    /// Ids of applications; `None` = whatever the application.
    pub applications: Option<Vec<base::ApplicationId>>,
    /// Subjects of callers; empty = whoever calls.
    pub users: Vec<String>,
    /// Document names of APIs; empty = all.
    pub apis: Vec<String>,
    /// What must hold besides.
    pub when: Option<Expr>,
    /// From this second since 1970 on it refuses nothing.
    pub until_unix_s: Option<u64>,
    /// Why, for operators.
    pub reason: String,
}

/// All rules that a node has; there is at least one.
#[derive(Debug)]
pub struct Denials(pub Vec<DenyRule>);

impl Denials {
    /// The first rule that refuses this call of an API.
    #[must_use]
    pub fn refusing(&self, cx: &RequestCx, org: &Org, api: &str) -> Option<&DenyRule> {
        let now_unix_s = cx.unix_ms / 1000;
        let rules = self.0.iter();
        let mut live = rules.filter(|rule| rule.org == *org && rule.is_live(now_unix_s));
        live.find(|rule| rule.meets(cx, api))
    }

    /// Whether calls of this caller are refused, whatever they are: then those that are open end too.
    #[must_use]
    pub fn end(&self, caller: &Principal, now_unix_s: u64) -> bool {
        self.0.iter().any(|rule| {
            let of_caller = rule.applications.is_some() || !rule.users.is_empty();
            let alone = rule.clients.is_empty() && rule.apis.is_empty() && rule.when.is_none();
            of_caller
                && alone
                && rule.org == caller.org
                && rule.is_live(now_unix_s)
                && rule.is_of(Some(caller))
        })
    }
}

impl DenyRule {
    fn is_live(&self, now_unix_s: u64) -> bool {
        self.until_unix_s.is_none_or(|until| now_unix_s < until)
    }

    fn is_of(&self, caller: Option<&Principal>) -> bool {
        let application = caller.and_then(|caller| caller.application);
        let subject = caller.and_then(|caller| caller.identity.subject.as_deref());
        let by_application = self
            .applications
            .as_ref()
            .is_none_or(|denied| application.is_some_and(|id| denied.contains(&id)));
        let is_denied = |subject: &str| self.users.iter().any(|user| user == subject);
        by_application && (self.users.is_empty() || subject.is_some_and(is_denied))
    }

    fn meets(&self, cx: &RequestCx, api: &str) -> bool {
        let address = cx.client.ip.to_canonical();
        let here = self.clients.is_empty() || self.clients.iter().any(|net| net.contains(&address));
        here && (self.apis.is_empty() || self.apis.iter().any(|name| name == api))
            && self.is_of(cx.principal.as_deref())
            // What cannot be decided is refused.
            && self
                .when
                .as_ref()
                .is_none_or(|when| when.holds(cx).unwrap_or(true))
    }
}
