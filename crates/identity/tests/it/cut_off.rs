//! What a crash cut off between two steps is made up for when somebody comes again.

use std::str::FromStr as _;

use base::GrantId;
use store::grants::GrantFilter;

use crate::tab::{Tab, app, claims, exchange, metadata, refresh, text};
use crate::world::world;

/// Whoever revoked the grant did not come as far as the end of its access tokens.
#[tokio::test]
async fn a_revoked_grant_ends_its_tokens_at_the_next_use() {
    let world = world().await;
    let client = app(&world, "app", metadata()).await;
    let code = Tab::default().code(&world, &client, "pets:read").await;
    let first = exchange(&world, &client, &code, &[]).await;
    let (access, token) = (text(&first, "access_token"), text(&first, "refresh_token"));
    let grant = claims(&access)["grant_id"].as_str().map(GrantId::from_str);
    let filter = GrantFilter::Id(grant.unwrap().unwrap());
    let revoked = world.grants.grants_revoke(&filter, 1).await;
    revoked.unwrap();
    assert!(world.active(&client, &access).await, "as after the crash");
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!(
        refresh(&world, &client, &token).await.oauth_error(),
        refused
    );
    assert!(!world.active(&client, &access).await);
    let ended = world.store.revision().await.unwrap();
    assert_eq!(
        refresh(&world, &client, &token).await.oauth_error(),
        refused
    );
    let again = world.store.revision().await.unwrap();
    assert_eq!(again, ended, "nothing is written for a token that is over");
}
