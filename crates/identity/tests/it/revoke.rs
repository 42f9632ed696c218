use std::sync::atomic::Ordering;
use std::time::Duration;
use store::CredentialStore as _;

use credentials::REVOCATION_MARGIN_S;
use identity::housekeeping::{forget_expired, housekeeping};

use crate::world::{World, open_store, world};

const REVOKE: &str = "/oauth2/revoke";

async fn revocations(world: &World) -> usize {
    world.store.revocation_list(0).await.unwrap().len()
}

/// req: S9. The 200 comes after the commit and after the nodes' acknowledgement, in this order.
#[tokio::test]
async fn a_revocation_is_durable_and_acknowledged_when_the_200_is_sent() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let answer = world
        .form_as(&world.shop, REVOKE, &format!("token={token}"))
        .await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert!(answer.is_not_stored());

    let revision = world.store.revision().await.unwrap();
    assert_eq!(*world.nodes.waits.lock().unwrap(), [(revision, 1)]);
    assert!(!world.active(&world.shop, &token).await);
    // Another process on the same files sees it too: nothing hangs on this one's memory.
    let again = open_store(world.folder.path()).await;
    assert_eq!(again.revocation_list(world.now_s()).await.unwrap().len(), 1);
    assert_eq!(world.metrics.tokens_revoked.get(), 1);
}

#[tokio::test]
async fn without_an_acknowledgement_the_answer_is_503_and_asking_again_waits_again() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let body = format!("token={token}");
    world.nodes.away.store(true, Ordering::SeqCst);
    let answer = world.form_as(&world.shop, REVOKE, &body).await;
    assert_eq!(
        answer.oauth_error(),
        (503, "temporarily_unavailable".into())
    );
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(revocations(&world).await, 1, "stored all the same");
    assert!(!world.active(&world.shop, &token).await);

    world.nodes.away.store(false, Ordering::SeqCst);
    let answer = world.form_as(&world.shop, REVOKE, &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.nodes.waits.lock().unwrap().len(), 2);
    assert_eq!(revocations(&world).await, 1);
}

/// The nodes hear of it even when the client does not wait for its answer.
#[tokio::test]
async fn a_client_that_hangs_up_stops_nothing() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let body = format!("token={token}");
    world.nodes.gate.forget_permits(1000);
    let waited_for = async {
        while world.nodes.waits.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = world.form_as(&world.shop, REVOKE, &body) => panic!("too early: {}", answer.text),
        () = waited_for => {}
    }
    assert_eq!(world.metrics.tokens_revoked.get(), 0);
    world.nodes.gate.add_permits(1);
    while world.metrics.tokens_revoked.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!world.active(&world.shop, &token).await);
}

#[tokio::test]
async fn another_clients_token_stays() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let answer = world
        .form_as(&world.rival, REVOKE, &format!("token={token}"))
        .await;
    assert_eq!(answer.oauth_error(), (400, "unauthorized_client".into()));
    let nobody = world.form(REVOKE, &format!("token={token}")).await;
    assert_eq!(nobody.oauth_error(), (401, "invalid_client".into()));
    assert!(world.active(&world.shop, &token).await);
    assert_eq!(revocations(&world).await, 0);
    assert!(world.nodes.waits.lock().unwrap().is_empty());
}

/// RFC 7009 §2.2: an invalid token is as good as a revoked one.
#[tokio::test]
async fn what_is_no_token_here_is_200_and_writes_nothing() {
    let world = world().await;
    let over = world.token_of(&world.shop).await;
    world.clock.advance_ms((3600 + 60) * 1000);
    let control = world.control_token().await;
    for token in [over.as_str(), control.as_str(), "x", "a.b.c"] {
        let answer = world
            .form_as(&world.shop, REVOKE, &format!("token={token}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(revocations(&world).await, 0);
    assert!(
        world.tokens.verify_control(&control).await.is_ok(),
        "clients do not log users out"
    );
    for body in ["", "token=", "token_type_hint=access_token"] {
        let answer = world.form_as(&world.shop, REVOKE, body).await;
        assert_eq!(
            answer.oauth_error(),
            (400, "invalid_request".into()),
            "{body}"
        );
    }
}

/// req: T5. Not before no verifier's leeway can make the token good again.
#[tokio::test]
async fn expired_revocations_disappear_by_themselves() {
    let world = world().await;
    let token = world.token_of(&world.shop).await;
    let answer = world
        .form_as(&world.shop, REVOKE, &format!("token={token}"))
        .await;
    assert_eq!(answer.status, 200);

    world
        .clock
        .advance_ms((3600 + REVOCATION_MARGIN_S - 1) * 1000);
    forget_expired(
        world.store.as_ref(),
        world.grants.as_ref(),
        world.clock.as_ref(),
    )
    .await
    .unwrap();
    assert_eq!(revocations(&world).await, 1);
    world.clock.advance_ms(2_000);
    let turns = housekeeping(
        world.store.as_ref(),
        world.grants.as_ref(),
        world.clock.as_ref(),
        Duration::from_secs(60),
    );
    let gone = async {
        while revocations(&world).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = turns => unreachable!("it never ends"),
        () = gone => {}
    }
}
