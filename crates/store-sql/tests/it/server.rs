//! PostgreSQL: what keeps one from opening a database, what secrets are not told, and other processes.

use std::time::{Duration, Instant};

use base::Org;
use parts::Postgres;
use store::{Page, RecordKind, ResourceStore, Store, StoreError};
use store_sql::{OpenError, OpenOptions, SqlStore};

use super::{Home, api, batch, patient};

/// How long anything may take, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// The error of opening this URL; it must hold neither the URL nor its password.
async fn refused(url: &str) -> OpenError {
    let options = OpenOptions {
        connect_timeout: PATIENCE,
        ..OpenOptions::on(url.parse().unwrap())
    };
    let error = SqlStore::open(&options).await.unwrap_err();
    let password = Postgres::shared().password();
    for text in [
        format!("{error}"),
        format!("{error:?}"),
        format!("{options:?}"),
    ] {
        for secret in [
            password,
            &password.replace(' ', "%20"),
            "hunter2",
            "postgres://",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    error
}

#[tokio::test]
async fn what_is_wrong_with_a_url_is_told_apart() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let error = refused(&url.replace("of%20this%20cluster%20alone", "hunter2")).await;
    assert!(matches!(error, OpenError::Login { .. }), "{error}");
    assert!(error.to_string().contains("password"), "{error}");

    let error = refused(&postgres.url("nowhere")).await;
    assert!(matches!(error, OpenError::Absent { .. }), "{error}");
    assert!(
        error.to_string().contains("nowhere at 127.0.0.1"),
        "{error}"
    );

    // A port on which nobody listens, and that nobody else gets.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = bound.local_addr().unwrap().port();
    let error = refused(&url.replace(&postgres.port().to_string(), &port.to_string())).await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    // A server that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = OpenOptions {
        connect_timeout: Duration::from_millis(100),
        ..OpenOptions::on(
            format!("postgres://a:b@{}/c", silent.local_addr().unwrap())
                .parse()
                .unwrap(),
        )
    };
    let error = SqlStore::open(&options).await.unwrap_err();
    assert!(
        error.to_string().contains("no answer within 100ms"),
        "{error}"
    );
}

#[tokio::test]
async fn tls_is_verified_where_it_is_demanded() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let certificate = postgres.certificate();
    let verified = format!("{url}?sslmode=verify-full");
    // Nobody vouches for the server's certificate.
    let error = refused(&verified).await;
    assert!(matches!(error, OpenError::Tls { .. }), "{error}");
    let vouched = format!("{verified}&sslrootcert={}", certificate.display());
    let store = SqlStore::open(&patient(OpenOptions::on(vouched.parse().unwrap()))).await;
    let store = store.unwrap();
    store.commit(batch(vec![api("pets", "")])).await.unwrap();
    store.close().await;

    // A certificate for another name: the server's own is for localhost and 127.0.0.1.
    let elsewhere = vouched.replace("127.0.0.1", "127.0.0.2");
    let options = OpenOptions::on(elsewhere.parse().unwrap());
    assert!(SqlStore::open(&options).await.is_err());

    let missing = format!("{verified}&sslrootcert=/no/such/file.pem");
    let error = refused(&missing).await;
    assert!(matches!(error, OpenError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/file.pem"), "{error}");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let name = url.rsplit_once('/').unwrap().1;
    postgres.sql(name, "CREATE TABLE songs (title text)");
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("songs"), "{error}");
    let tables = postgres.sql(
        name,
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
    );
    assert_eq!(tables, "1", "it was left alone");

    // One that sea-orm keeps for somebody else.
    let url = postgres.database();
    let name = url.rsplit_once('/').unwrap().1;
    postgres.sql(
        name,
        "CREATE TABLE seaql_migrations (version varchar PRIMARY KEY, applied_at bigint NOT NULL); \
         INSERT INTO seaql_migrations VALUES ('m2022_songs', 0)",
    );
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

/// The databases of the tests order text as people do; ours is ordered by bytes all the same.
#[tokio::test]
async fn names_are_ordered_by_their_bytes() {
    let store = Home::server().open().await;
    let names = ["Zebra", "ant", "a_b", "ab", "aB"];
    let writes = names.map(|name| api(name, "")).to_vec();
    store.commit(batch(writes)).await.unwrap();
    let (org, filter) = (Org::default_org(), store::Filter::default());
    let list = store
        .record_list(&org, RecordKind::Api, &filter, &Page::ALL)
        .await
        .unwrap();
    let listed: Vec<_> = list.into_iter().map(|record| record.name).collect();
    let mut sorted = names.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(listed, sorted);
}

/// Several processes that open a new database at once: one makes the schema, the others find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_is_filled_once() {
    let home = Home::server();
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let options = home.options();
            tokio::spawn(async move { SqlStore::open(&options).await })
        })
        .collect();
    for opener in openers {
        let store = opener.await.unwrap().unwrap();
        assert_eq!(store.revision().await.unwrap(), 0);
    }
}

/// A commit of one store wakes who waits at another, by notification: the polling is switched off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes_are_told() {
    let home = Home::server();
    let options = OpenOptions {
        poll_interval: Duration::from_secs(3600),
        ..home.options()
    };
    let (one, other) = (home.open().await, SqlStore::open(&options).await.unwrap());
    // The first wake-up may need the look that follows the listening.
    one.commit(batch(vec![api("pets", "0")])).await.unwrap();
    within(PATIENCE, other.changed(0)).await;
    let mut slowest = Duration::ZERO;
    for number in 1..=50 {
        let write = api("pets", &number.to_string());
        let revision = one.commit(batch(vec![write])).await.unwrap();
        let began = Instant::now();
        within(PATIENCE, other.changed(revision - 1)).await;
        slowest = slowest.max(began.elapsed());
        let part = other.changes_since(revision - 1, 10).await.unwrap();
        assert_eq!((part.changes.len(), part.upto), (1, revision));
    }
    println!("the slowest of 50 was told after {slowest:?}");
}

/// With its listening connection cut, again and again, a store still hears of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notification_is_made_good() {
    let postgres = Postgres::shared();
    let home = Home::server();
    let Home::Server(url) = &home else { return };
    let name = url.rsplit_once('/').unwrap().1;
    let options = OpenOptions {
        poll_interval: Duration::from_millis(50),
        ..home.options()
    };
    let (one, other) = (home.open().await, SqlStore::open(&options).await.unwrap());
    for number in 0..5 {
        postgres.sql(
            name,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        );
        let write = api("pets", &number.to_string());
        let revision = one.commit(batch(vec![write])).await.unwrap();
        within(PATIENCE, other.changed(revision - 1)).await;
    }
}

/// The server goes away and comes back: errors meanwhile, work afterwards, without opening anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_survived() {
    let postgres = Postgres::start();
    let options = OpenOptions {
        // Long enough for a connection to be made on a busy machine; while nobody listens, each call takes all of it.
        queue_timeout: Duration::from_secs(8),
        poll_interval: Duration::from_millis(50),
        ..patient(OpenOptions::on(postgres.database().parse().unwrap()))
    };
    // A busy machine may need longer than a call waits for a connection.
    let store = eventually(async || SqlStore::open(&options).await).await;
    let other = eventually(async || SqlStore::open(&options).await).await;
    eventually(async || store.commit(batch(vec![api("pets", "1")])).await).await;
    postgres.stop();
    let (error, revision, turn) = tokio::join!(
        store.commit(batch(vec![api("pets", "2")])),
        store.revision(),
        store.turn()
    );
    assert!(matches!(error, Err(StoreError::Database(_))));
    assert!(revision.is_err() && turn.is_err());
    postgres.restart();
    let revision = eventually(async || store.commit(batch(vec![api("pets", "3")])).await).await;
    assert_eq!(revision, 2);
    within(PATIENCE, other.changed(1)).await;
    assert_eq!(eventually(async || other.revision().await).await, 2);
    drop(eventually(async || store.turn().await).await);
}

/// A turn is one for all processes, and whoever waits too long is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_are_shared_between_processes() {
    let home = Home::server();
    let options = OpenOptions {
        lock_timeout: Duration::from_millis(100),
        ..home.options()
    };
    let (one, other) = (home.open().await, SqlStore::open(&options).await.unwrap());
    let turn = one.turn().await.unwrap();
    let error = other.turn().await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    // Commits that need no turn go on.
    other.commit(batch(vec![api("pets", "")])).await.unwrap();
    drop(turn);
    // It is given back behind the drop.
    drop(eventually(async || other.turn().await).await);
}

/// A process that stands still within a commit keeps others waiting no longer than the lock timeout.
#[tokio::test]
async fn a_stuck_writer_is_an_error_after_the_timeout() {
    let home = Home::server();
    let options = OpenOptions {
        lock_timeout: Duration::from_millis(100),
        ..home.options()
    };
    let store = SqlStore::open(&options).await.unwrap();
    let Home::Server(url) = &home else { return };
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let other = sea_orm::Database::connect(url).await.unwrap();
    let stuck = other.begin().await.unwrap();
    stuck
        .execute_unprepared("UPDATE counter SET revision = revision")
        .await
        .unwrap();
    let busy = store.commit(batch(vec![api("pets", "")])).await;
    assert!(matches!(busy, Err(StoreError::Database(_))));
    assert_eq!(store.revision().await.unwrap(), 0);
    stuck.rollback().await.unwrap();
    store.commit(batch(vec![api("pets", "")])).await.unwrap();
}

/// Many readers share the connections that there may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    let options = OpenOptions {
        read_connections: 3,
        write_connections: 2,
        ..Home::server().options()
    };
    let store = SqlStore::open(&options).await.unwrap();
    let readers = (0..50).map(|_| store.revision());
    for read in futures_util::future::join_all(readers).await {
        assert_eq!(read.unwrap(), 0);
    }
    let found = store.connections();
    assert_eq!((found.read_max, found.write_max), (3, 2));
    assert!((1..=3).contains(&found.read), "{found:?}");
    assert!(found.write <= 2, "{found:?}");
    assert!(found.read_idle <= found.read && found.write_idle <= found.write);
}

/// What a call answers once it works, where the test has made its waits short.
async fn eventually<T, E>(call: impl AsyncFn() -> Result<T, E>) -> T {
    let works = async {
        loop {
            if let Ok(answer) = call().await {
                return answer;
            }
        }
    };
    within(PATIENCE, works).await
}

/// Panics when it takes longer: a deadline, not a measurement.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(limit, future).await;
    result.expect("it happens before the deadline")
}
