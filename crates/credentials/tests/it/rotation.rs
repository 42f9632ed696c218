//! The life of signing keys: rotation on time, in flight, and in an emergency.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::{ApplicationId, Clock as _, ManualClock, Org, Secret};
use credentials::{
    AccessGrant, Acknowledged, By, KeyFile, NotAcknowledged, REVOCATION_MARGIN_S, RotationConfig,
    Subject, Tokens, TokensConfig, TokensError, gateway_audience,
};
use jose::{Expectation, KeySet, KeySetRules};
use store::{KeyState, SigningAlgorithm};

use crate::memory::Memory;

const ISSUER: &str = "https://id.example.com";
const DAY_S: u64 = 24 * 60 * 60;
const CONFIG: RotationConfig = RotationConfig {
    period_s: 90 * DAY_S,
    ahead_s: DAY_S,
};

/// Gateways that learn the keys when they acknowledge, and never otherwise.
struct Gateways {
    tokens: Tokens,
    keys: Mutex<KeySet>,
    away: AtomicBool,
}

#[async_trait]
impl Acknowledged for Gateways {
    async fn acknowledged(&self, revision: u64) -> Result<(), NotAcknowledged> {
        if self.away.load(Ordering::SeqCst) {
            return Err(NotAcknowledged { revision });
        }
        self.learn();
        Ok(())
    }
}

impl Gateways {
    fn learn(&self) {
        let keys = self.tokens.jwks().to_string();
        let keys = KeySet::from_json(&keys, &KeySetRules::default()).unwrap();
        *self.keys.lock().unwrap() = keys;
    }

    fn accept(&self, token: &str, now_unix_s: u64) -> bool {
        let keys = self.keys.lock().unwrap().clone();
        let audience = vec![gateway_audience(&Org::default_org())];
        let expect = Expectation::access_token(ISSUER, audience);
        jose::verify(token, &keys, &expect, now_unix_s).is_ok()
    }
}

struct World {
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
    tokens: Tokens,
    gateways: Gateways,
}

async fn world() -> World {
    let store = Arc::new(Memory::default());
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let tokens = open(&store, &clock).await;
    let gateways = Gateways {
        tokens: tokens.clone(),
        keys: Mutex::default(),
        away: AtomicBool::new(false),
    };
    gateways.learn();
    World {
        store,
        clock,
        tokens,
        gateways,
    }
}

async fn open(store: &Arc<Memory>, clock: &Arc<ManualClock>) -> Tokens {
    let key_file = KeyFile::from_root(&Secret::new([1; 32])).unwrap();
    let config = TokensConfig {
        lifetime_max_s: DAY_S,
        ..TokensConfig::new(ISSUER)
    };
    Tokens::open(store.clone(), key_file, clock.clone(), config)
        .await
        .unwrap()
}

impl World {
    fn mint(&self, algorithm: SigningAlgorithm, lifetime_s: u64) -> Result<String, TokensError> {
        let subject = Subject::Application(ApplicationId::generate());
        let token = self.tokens.mint_access_token(&AccessGrant {
            algorithm,
            lifetime_s: Some(lifetime_s),
            ..AccessGrant::new(Org::default_org(), "twc_1", subject)
        })?;
        Ok(token.token.expose().clone())
    }

    fn advance_s(&self, seconds: u64) {
        self.clock.advance_ms(seconds * 1000);
    }

    async fn rotate(&self) -> bool {
        self.tokens.rotate(&CONFIG, &self.gateways).await.unwrap()
    }

    /// The states of the keys of one algorithm, newest key first.
    fn states(&self, algorithm: SigningAlgorithm) -> Vec<&'static str> {
        let keys = self.tokens.keys().into_iter();
        keys.filter(|key| key.algorithm == algorithm)
            .map(|key| key.state.as_str())
            .collect()
    }

    fn accepted(&self, token: &str) -> bool {
        self.gateways.accept(token, self.clock.unix_s())
    }
}

#[tokio::test]
async fn a_key_is_published_then_signs_then_retires_then_goes() {
    let world = world().await;
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        assert_eq!(world.states(algorithm), ["signing"]);
    }
    assert!(!world.rotate().await, "nothing is due");

    world.advance_s(89 * DAY_S);
    assert!(world.rotate().await);
    assert!(!world.rotate().await, "once");
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        assert_eq!(world.states(algorithm), ["next", "signing"]);
    }
    let published = world.tokens.jwks()["keys"].as_array().unwrap().len();
    assert_eq!(published, 4, "known to all before they sign");

    // No gateway misses it: while one is away the old one signs on.
    world.advance_s(DAY_S);
    world.gateways.away.store(true, Ordering::SeqCst);
    let error = world.tokens.rotate(&CONFIG, &world.gateways).await;
    assert!(matches!(error, Err(TokensError::NotAcknowledged(_))));
    assert_eq!(world.states(SigningAlgorithm::Es256), ["next", "signing"]);
    let old = world.mint(SigningAlgorithm::Es256, DAY_S).unwrap();
    world.gateways.away.store(false, Ordering::SeqCst);
    assert!(world.rotate().await);
    assert_eq!(
        world.states(SigningAlgorithm::Es256),
        ["signing", "retiring"]
    );
    let new = world.mint(SigningAlgorithm::Es256, DAY_S).unwrap();
    world.gateways.learn();
    assert!(world.accepted(&old) && world.accepted(&new));

    // The last token that the old key signed is good to its end.
    world.advance_s(DAY_S - 1);
    world.rotate().await;
    world.gateways.learn();
    assert!(world.accepted(&old));
    world.advance_s(REVOCATION_MARGIN_S + 1);
    assert!(world.rotate().await);
    assert_eq!(world.states(SigningAlgorithm::Es256), ["signing"]);
    assert_eq!(world.tokens.jwks()["keys"].as_array().unwrap().len(), 2);
}

/// No token lives longer than a retired key is published.
#[tokio::test]
async fn lifetimes_have_an_end() {
    let world = world().await;
    let token = world.mint(SigningAlgorithm::EdDsa, 99 * DAY_S).unwrap();
    world.advance_s(DAY_S);
    assert!(world.accepted(&token), "within the leeway");
    world.advance_s(REVOCATION_MARGIN_S);
    assert!(!world.accepted(&token));
}

#[tokio::test]
async fn a_rotation_can_be_asked_for() {
    let world = world().await;
    world.tokens.publish_next(&By::system()).await.unwrap();
    world.tokens.publish_next(&By::system()).await.unwrap();
    assert_eq!(world.states(SigningAlgorithm::Es256), ["next", "signing"]);
    world.advance_s(DAY_S);
    assert!(world.rotate().await);
    assert_eq!(
        world.states(SigningAlgorithm::Es256),
        ["signing", "retiring"]
    );
}

#[tokio::test]
async fn an_emergency_takes_all_keys_back_at_once() {
    let world = world().await;
    let tokens = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa]
        .map(|algorithm| world.mint(algorithm, DAY_S).unwrap());
    world.tokens.publish_next(&By::system()).await.unwrap();
    let before: Vec<_> = world.tokens.keys().into_iter().map(|key| key.kid).collect();
    world.tokens.roll_now(&By::system()).await.unwrap();
    world.gateways.learn();
    for token in tokens {
        assert!(!world.accepted(&token));
        assert!(
            world
                .tokens
                .read_access(&Org::default_org(), &token)
                .is_err()
        );
    }
    let after = world.tokens.keys();
    assert!(after.iter().all(|key| !before.contains(&key.kid)));
    assert!(after.iter().all(|key| key.state == KeyState::Signing));
    assert_eq!(after.len(), 2);
    let new = world.mint(SigningAlgorithm::Es256, DAY_S).unwrap();
    assert!(world.accepted(&new));
}

#[tokio::test]
async fn an_rsa_key_is_made_when_it_is_wanted() {
    let world = world().await;
    let rs256 = SigningAlgorithm::Rs256;
    assert!(matches!(world.mint(rs256, 60), Err(TokensError::NoKey(_))));
    world.gateways.away.store(true, Ordering::SeqCst);
    let ensure = async || {
        world
            .tokens
            .ensure_key(rs256, &By::system(), &world.gateways)
            .await
    };
    assert!(matches!(
        ensure().await,
        Err(TokensError::NotAcknowledged(_))
    ));
    assert!(matches!(world.mint(rs256, 60), Err(TokensError::NoKey(_))));
    world.gateways.away.store(false, Ordering::SeqCst);
    ensure().await.unwrap();
    ensure().await.unwrap();
    assert_eq!(world.states(rs256), ["signing"]);
    assert!(world.accepted(&world.mint(rs256, 60).unwrap()));
    world.tokens.publish_next(&By::system()).await.unwrap();
    assert_eq!(world.states(rs256), ["next", "signing"]);
}

/// Of two processes on one database that look at once one rotates.
#[tokio::test]
async fn two_processes_rotate_once() {
    let world = world().await;
    let other = open(&world.store, &world.clock).await;
    for day in 0..200 {
        world.advance_s(DAY_S);
        let (one, two) = tokio::join!(
            world.tokens.rotate(&CONFIG, &world.gateways),
            other.rotate(&CONFIG, &world.gateways)
        );
        assert!(!(one.unwrap() && two.unwrap()), "day {day}");
        world.tokens.reload().await.unwrap();
        let signing = world.states(SigningAlgorithm::Es256);
        let count = |state| signing.iter().filter(|found| **found == state).count();
        assert_eq!(count("signing"), 1, "day {day}");
        assert!(count("next") <= 1, "day {day}");
    }
}

/// Tokens are minted and verified without a pause while keys rotate many times: none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_in_flight_refuse_nobody() {
    let world = Arc::new(world().await);
    let stop = Arc::new(AtomicBool::new(false));
    let checked = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa]
        .into_iter()
        .map(|algorithm| {
            let (world, stop, checked) =
                (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&checked));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let token = world.mint(algorithm, DAY_S).unwrap();
                    // Used at once, and kept for a while.
                    for _ in 0..3 {
                        let now = world.clock.unix_s();
                        let claims = world.tokens.read_access(&Org::default_org(), &token);
                        let accepted = world.gateways.accept(&token, now);
                        assert!(accepted || world.clock.unix_s() > expiry(&token));
                        assert!(claims.is_ok() || world.clock.unix_s() > expiry(&token));
                        checked.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    let first = world.tokens.keys();
    let mut seen: Vec<String> = first.into_iter().map(|key| key.kid).collect();
    for _ in 0..400 {
        world.advance_s(DAY_S);
        world.rotate().await;
        // Gateways hear of withdrawn keys as well.
        world.gateways.learn();
        seen.extend(world.tokens.keys().into_iter().map(|key| key.kid));
        let so_far = checked.load(Ordering::SeqCst);
        while checked.load(Ordering::SeqCst) < so_far + 4
            && !callers.iter().any(tokio::task::JoinHandle::is_finished)
        {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 2 * 5, "{} keys", seen.len());
    assert!(checked.load(Ordering::SeqCst) > 1000);
}

fn expiry(token: &str) -> u64 {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    let claims: serde_json::Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    claims["exp"].as_u64().unwrap()
}
