use super::*;
use base::KeyLimits;
use sync::{KeyHash, ResourceKey};

fn update(reset: bool, entries: Vec<(EntryKey, Option<Entry>)>) -> Update {
    Update {
        revision: 1,
        reset,
        apis: vec![],
        backends: vec![],
        plans: vec![],
        issuers: vec![],
        listeners: Vec::new(),
        environment: String::new(),
        public_url: None,
        entries,
    }
}

fn plan_change(name: &str, requests: Option<u64>) -> Change<Arc<PlanModel>> {
    let org = Org::default_org();
    let model = requests.map(|requests| {
        let quota = Some(Quota {
            requests,
            window_ms: 1000,
            measure: sync::Measure::Requests,
        });
        Arc::new(PlanModel {
            org: org.clone(),
            name: name.into(),
            quota,
            burst: None,
        })
    });
    Change {
        key: ResourceKey {
            org,
            name: name.into(),
        },
        model,
    }
}

struct Fixture {
    directory: NodeDirectory,
    application: ApplicationId,
    credential: CredentialId,
    key: CredentialId,
    subscription: SubscriptionId,
}

/// One application with a client, an API key and a subscription to `orders` under Gold.
fn fixture() -> Fixture {
    let directory = NodeDirectory::new();
    let (application, credential, key) = (
        ApplicationId::generate(),
        CredentialId::generate(),
        CredentialId::generate(),
    );
    let subscription = SubscriptionId::generate();
    let hashing = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let hash = Digest::from_bytes(
        hmac::sign(&hashing, b"secret key")
            .as_ref()
            .try_into()
            .unwrap(),
    );
    let mut first = update(
        true,
        vec![
            (
                EntryKey::ApiKeyHashing,
                Some(Entry::ApiKeyHashing { key: vec![7; 32] }),
            ),
            (
                EntryKey::Application(application),
                Some(Entry::Application {
                    org: Org::default_org(),
                    name: "shop".into(),
                    owner: Some("alice".into()),
                }),
            ),
            (
                EntryKey::Credential(credential),
                Some(Entry::Client {
                    application,
                    client_id: "c1".into(),
                    environment: Environment::Production,
                    issuer: None,
                }),
            ),
            (
                EntryKey::Credential(key),
                Some(Entry::ApiKey {
                    application,
                    keys: vec![KeyHash {
                        hash,
                        expires_unix_s: Some(99),
                    }],
                    environment: Environment::Sandbox,
                    limits: KeyLimits::default(),
                }),
            ),
            (
                EntryKey::Subscription(subscription),
                Some(Entry::Subscription {
                    application,
                    api: "orders".into(),
                    plan: "Gold".into(),
                }),
            ),
        ],
    );
    first.plans.push(plan_change("Gold", Some(5)));
    assert!(directory.apply(&first).is_empty());
    Fixture {
        directory,
        application,
        credential,
        key,
        subscription,
    }
}

#[test]
fn finds_what_was_put() {
    let f = fixture();
    let client = f.directory.client("c1").unwrap();
    assert_eq!(
        (client.application, client.credential),
        (f.application, f.credential)
    );
    // The nodes know a credential's environment; no token says it.
    assert_eq!(client.environment, Environment::Production);
    let key = f.directory.api_key("secret key").unwrap();
    assert_eq!((key.credential, key.expires_unix_s), (f.key, Some(99)));
    assert_eq!(key.environment, Environment::Sandbox);
    assert_eq!(f.directory.api_key("another key"), None);
    let subscription = f.directory.subscription(f.application, "orders").unwrap();
    assert_eq!(subscription.id, f.subscription);
    assert_eq!(subscription.plan.unwrap().quota.unwrap().requests, 5);
    assert!(f.directory.subscription(f.application, "pets").is_none());
}

/// req: S9
#[test]
fn what_is_removed_is_gone_and_the_version_grows() {
    let f = fixture();
    let version = f.directory.version();
    f.directory.apply(&update(
        false,
        vec![
            (EntryKey::Credential(f.credential), None),
            (EntryKey::Credential(f.key), None),
            (EntryKey::Subscription(f.subscription), None),
        ],
    ));
    assert_eq!(f.directory.client("c1"), None);
    assert_eq!(f.directory.api_key("secret key"), None);
    assert!(f.directory.subscription(f.application, "orders").is_none());
    assert!(f.directory.version() > version);
}

/// req: S9
#[test]
fn credentials_without_their_application_are_void() {
    let f = fixture();
    f.directory.apply(&update(
        false,
        vec![(EntryKey::Application(f.application), None)],
    ));
    assert_eq!(f.directory.client("c1"), None);
    assert_eq!(f.directory.api_key("secret key"), None);
    assert!(f.directory.subscription(f.application, "orders").is_none());
}

#[test]
fn a_subscription_can_move_to_another_plan() {
    let f = fixture();
    let moved = Entry::Subscription {
        application: f.application,
        api: "orders".into(),
        plan: "Silver".into(),
    };
    let mut change = update(
        false,
        vec![(EntryKey::Subscription(f.subscription), Some(moved))],
    );
    f.directory.apply(&change);
    assert!(
        f.directory
            .subscription(f.application, "orders")
            .unwrap()
            .plan
            .is_none()
    );
    change.entries.clear();
    change.plans.push(plan_change("Silver", Some(2)));
    f.directory.apply(&change);
    assert_eq!(
        f.directory
            .subscription(f.application, "orders")
            .unwrap()
            .plan
            .unwrap()
            .name,
        "Silver"
    );
    change.plans = vec![plan_change("Silver", None)];
    f.directory.apply(&change);
    assert!(
        f.directory
            .subscription(f.application, "orders")
            .unwrap()
            .plan
            .is_none()
    );
}

#[test]
fn revocations_stay_until_the_token_has_expired() {
    let f = fixture();
    let revoke = |jti: &str, expires_unix_s| {
        (
            EntryKey::Revocation(jti.to_owned()),
            Some(Entry::Revocation { expires_unix_s }),
        )
    };
    f.directory
        .apply(&update(false, vec![revoke("a", 100), revoke("b", 200)]));
    let marks = |jti: &str| TokenMarks::of_claims(jti, "c", "s", &serde_json::Map::new());
    f.directory.sweep(150);
    assert!(!f.directory.is_revoked(&marks("a")));
    assert!(f.directory.is_revoked(&marks("b")));
}

/// Who was asked for before the end is refused, who came after is not (req: S9).
#[test]
fn all_tokens_of_something_end_at_a_revision() {
    let f = fixture();
    let of = TokensOf::Client("c1".to_owned());
    let end = Entry::TokensEnd {
        revision: 7,
        expires_unix_s: 100,
    };
    let marks = |client_id: &str, revision: u64| {
        let other = serde_json::json!({ "rev": revision });
        TokenMarks::of_claims("j", client_id, "s", other.as_object().unwrap())
    };
    let put = update(false, vec![(EntryKey::TokensEnd(of), Some(end))]);
    f.directory.apply(&put);
    assert!(f.directory.is_revoked(&marks("c1", 6)));
    assert!(!f.directory.is_revoked(&marks("c1", 7)));
    assert!(!f.directory.is_revoked(&marks("c2", 6)));
    assert_eq!(f.directory.sizes().revocations, 1);
    f.directory.sweep(100);
    assert!(!f.directory.is_revoked(&marks("c1", 6)));
}

#[test]
fn a_reset_forgets_everything_else() {
    let f = fixture();
    f.directory.apply(&update(true, vec![]));
    assert_eq!(f.directory.sizes(), DirectorySizes::default());
    assert_eq!(f.directory.client("c1"), None);
}

#[test]
fn an_issuer_with_bad_keys_is_refused_and_reported() {
    let directory = NodeDirectory::new();
    let org = Org::default_org();
    let mut change = update(false, vec![]);
    let model = IssuerModel {
        org: org.clone(),
        name: "resident".into(),
        issuer: "https://issuer".into(),
        audience: "a".into(),
        jwks: serde_json::json!({"keys": "no"}),
        outside: None,
    };
    change.issuers.push(Change {
        key: ResourceKey {
            org: org.clone(),
            name: "resident".into(),
        },
        model: Some(Arc::new(model)),
    });
    assert_eq!(directory.apply(&change).len(), 1);
    assert!(directory.issuer(&org, "resident").is_none());
}

/// req: C4
#[test]
fn what_stays_is_never_away_while_updates_come() {
    let Fixture {
        directory,
        application,
        credential,
        key,
        subscription,
    } = fixture();
    let api_key = directory.api_keys.credentials();
    assert_eq!(api_key, [key]);
    let entries = |plan: &str| {
        let hash = {
            let hashing = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
            Digest::from_bytes(
                hmac::sign(&hashing, b"the key")
                    .as_ref()
                    .try_into()
                    .unwrap(),
            )
        };
        vec![
            (
                EntryKey::Application(application),
                Some(Entry::Application {
                    org: Org::default_org(),
                    name: "shop".into(),
                    owner: Some("alice".into()),
                }),
            ),
            (
                EntryKey::Credential(credential),
                Some(Entry::Client {
                    application,
                    client_id: "client".into(),
                    environment: Environment::default(),
                    issuer: None,
                }),
            ),
            (
                EntryKey::Credential(key),
                Some(Entry::ApiKey {
                    application,
                    keys: vec![KeyHash {
                        hash,
                        expires_unix_s: None,
                    }],
                    environment: Environment::default(),
                    limits: KeyLimits::default(),
                }),
            ),
            (
                EntryKey::Subscription(subscription),
                Some(Entry::Subscription {
                    application,
                    api: "orders".into(),
                    plan: plan.into(),
                }),
            ),
            (
                EntryKey::ApiKeyHashing,
                Some(Entry::ApiKeyHashing { key: vec![7; 32] }),
            ),
        ]
    };
    directory.apply(&update(true, entries("Gold")));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                assert!(directory.client("client").is_some());
                assert!(directory.api_key("the key").is_some());
                assert!(directory.subscription(application, "orders").is_some());
                looks += 1;
            }
            looks
        });
        for round in 0..2_000 {
            let plan = if round % 2 == 0 { "Gold" } else { "Silver" };
            directory.apply(&update(round % 3 == 0, entries(plan)));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    // A complete update that names nothing leaves nothing.
    directory.apply(&update(true, vec![]));
    assert_eq!(directory.sizes(), DirectorySizes::default());
    assert!(directory.api_key("the key").is_none());
}

/// A subscription that takes another one's place stays, whatever comes first.
#[test]
fn a_subscription_in_anothers_place_stays() {
    let Fixture {
        directory,
        application,
        subscription,
        ..
    } = fixture();
    let newer = SubscriptionId::generate();
    let entry = Entry::Subscription {
        application,
        api: "orders".into(),
        plan: "Gold".into(),
    };
    let added = (EntryKey::Subscription(newer), Some(entry));
    let removed = (EntryKey::Subscription(subscription), None);
    directory.apply(&update(false, vec![added, removed]));
    let found = directory.subscription(application, "orders").unwrap();
    assert_eq!(found.id, newer);
}

fn deny(name: &str, model: Option<sync::DenyModel>) -> (EntryKey, Option<Entry>) {
    let key = ResourceKey {
        org: Org::default_org(),
        name: name.into(),
    };
    (EntryKey::DenyRule(key), model.map(Entry::DenyRule))
}

/// Rules name applications by their documents, whichever comes first, and end what is open. (req: TM1, S9)
#[test]
fn deny_rules_follow_their_applications() {
    let f = fixture();
    assert!(f.directory.denials().is_none());
    let model = sync::DenyModel {
        applications: vec!["shop".into(), "later".into()],
        ..sync::DenyModel::default()
    };
    let changes = vec![deny("bad", Some(model))];
    assert!(f.directory.apply(&update(false, changes)).is_empty());
    let named = || f.directory.denials().unwrap().0[0].applications.clone();
    assert_eq!(named(), Some(vec![f.application]));
    let later = ApplicationId::generate();
    let entry = Entry::Application {
        org: Org::default_org(),
        name: "later".into(),
        owner: None,
    };
    let changes = vec![(EntryKey::Application(later), Some(entry))];
    f.directory.apply(&update(false, changes));
    assert_eq!(named().unwrap().len(), 2);
    f.directory
        .apply(&update(false, vec![(EntryKey::Application(later), None)]));
    assert_eq!(named(), Some(vec![f.application]));
    assert_eq!(f.directory.sizes().deny_rules, 1);
    // A complete update that does not name it.
    f.directory.apply(&update(true, Vec::new()));
    assert!(f.directory.denials().is_none());
}

/// A condition that this version cannot read denies what the rest of its rule names, and nothing else.
#[test]
fn a_condition_that_cannot_be_read_does_not_deny_everybody() {
    let f = fixture();
    let model = |clients: &[&str]| sync::DenyModel {
        clients: clients.iter().map(ToString::to_string).collect(),
        when: Some("of.a.later.version".into()),
        ..sync::DenyModel::default()
    };
    let changes = vec![
        deny("all", Some(model(&[]))),
        deny("some", Some(model(&["192.0.2.1", "10.0.0.0/8"]))),
    ];
    f.directory.apply(&update(false, changes));
    let denials = f.directory.denials().unwrap();
    assert_eq!(denials.0.len(), 1);
    assert_eq!(denials.0[0].clients.len(), 2);
    assert!(denials.0[0].when.is_none());
}

#[test]
fn applications_have_limits_while_their_documents_say_so() {
    let f = fixture();
    assert!(f.directory.application_limits(f.application).is_none());
    let limits = PlanModel {
        org: Org::default_org(),
        name: "shop".into(),
        quota: Some(Quota {
            requests: 7,
            window_ms: 1000,
            measure: sync::Measure::Bytes,
        }),
        burst: None,
    };
    let key = || EntryKey::ApplicationLimits(f.application);
    let changes = vec![(key(), Some(Entry::ApplicationLimits(limits)))];
    f.directory.apply(&update(false, changes));
    let found = f.directory.application_limits(f.application).unwrap();
    let quota = found.quota.unwrap();
    assert_eq!((quota.requests, quota.measure), (7, Measure::Bytes));
    f.directory.apply(&update(false, vec![(key(), None)]));
    assert!(f.directory.application_limits(f.application).is_none());
}
