//! Kinds that people write as documents and only look at here; what all kinds have in common.

use control::api::{Object, paths};
use store::RecordKind;

use super::args::{Common, Documents, Gone, One};
use super::failure::Failure;
use super::{client, output, wait_query, waiting_client};

/// `tollway backend`, `plan`, `gateway`, `deny`.
pub(crate) async fn run(kind: RecordKind, command: Documents) -> Result<(), Failure> {
    match command {
        Documents::List(common) => list(kind, &common).await,
        Documents::Get(one) => get(kind, &one).await,
        Documents::Delete(gone) => delete(kind, &gone).await,
    }
}

/// Lists one kind.
pub(crate) async fn list(kind: RecordKind, common: &Common) -> Result<(), Failure> {
    let items: Vec<Object> = client(&common.target)?
        .list(paths::collection(kind))
        .await?;
    let columns = columns(kind);
    let header: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    output::list(&items, common.output, &header, |item| {
        let value = serde_json::to_value(item).unwrap_or_default();
        columns
            .iter()
            .map(|(_, pointer)| output::text(&value, pointer))
            .collect()
    })
}

/// Shows one.
pub(crate) async fn get(kind: RecordKind, one: &One) -> Result<(), Failure> {
    let object: Object = client(&one.common.target)?
        .get(&paths::item(kind, &one.name))
        .await?;
    output::document(&object, one.common.output)
}

/// Deletes one.
pub(crate) async fn delete(kind: RecordKind, gone: &Gone) -> Result<(), Failure> {
    let path = paths::item(kind, &gone.name) + &wait_query(gone.wait, '?');
    waiting_client(&gone.target, gone.wait)?
        .delete(&path)
        .await?;
    eprintln!("deleted {} {}", kind.as_str(), gone.name);
    Ok(())
}

/// What a table of a kind shows: title and place in the document.
fn columns(kind: RecordKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        RecordKind::Api => &[
            ("NAME", "/spec/name"),
            ("VERSION", "/spec/version"),
            ("CONTEXT", "/spec/context"),
            ("STATE", "/spec/lifecycle"),
            ("PLANS", "/spec/plans"),
        ],
        RecordKind::Backend => &[("NAME", "/metadata/name"), ("ENDPOINTS", "/spec/endpoints")],
        RecordKind::Plan => &[
            ("NAME", "/metadata/name"),
            ("REQUESTS", "/spec/quota/requests"),
            ("PER", "/spec/quota/per"),
            ("DESCRIPTION", "/spec/description"),
        ],
        RecordKind::Gateway => &[
            ("NAME", "/metadata/name"),
            ("ENVIRONMENT", "/spec/environment"),
        ],
        RecordKind::DenyRule => &[
            ("NAME", "/metadata/name"),
            ("CLIENTS", "/spec/clients"),
            ("APPLICATIONS", "/spec/applications"),
            ("USERS", "/spec/users"),
            ("UNTIL", "/spec/until"),
            ("REASON", "/spec/reason"),
        ],
        RecordKind::TokenIssuer => &[
            ("NAME", "/metadata/name"),
            ("ISSUER", "/spec/issuer"),
            ("PRESET", "/spec/preset"),
            ("DESCRIPTION", "/spec/description"),
        ],
        RecordKind::Application => &[
            ("NAME", "/metadata/name"),
            ("OWNER", "/spec/owner"),
            ("DESCRIPTION", "/spec/description"),
        ],
        RecordKind::Subscription => &[
            ("NAME", "/metadata/name"),
            ("APPLICATION", "/spec/application"),
            ("API", "/spec/api/name"),
            ("VERSION", "/spec/api/version"),
            ("PLAN", "/spec/plan"),
        ],
    }
}
