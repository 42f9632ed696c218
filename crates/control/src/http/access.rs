//! Who may do what with documents: one table.

use store::{RecordKind, Role};

/// What is done to a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// See it. What a subscriber sees is limited further: own applications, APIs that serve.
    Read,
    /// Create, change or delete it.
    Write,
}

/// The roles of which one is needed; an admin holds all.
pub(crate) fn roles(kind: RecordKind, action: Action) -> &'static [Role] {
    use RecordKind::{
        Api, Application, Backend, DenyRule, Gateway, Plan, Subscription, TokenIssuer,
    };
    match (kind, action) {
        (Api | Plan, Action::Read) => &[Role::Publisher, Role::Subscriber],
        (Api | Backend, Action::Write)
        | (Backend | Gateway | DenyRule | TokenIssuer, Action::Read) => &[Role::Publisher],
        (Plan | Gateway | DenyRule | TokenIssuer, Action::Write) => &[Role::Admin],
        (Application | Subscription, _) => &[Role::Subscriber],
    }
}
