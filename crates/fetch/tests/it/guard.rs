use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fetch::{Allow, FetchConfig, FetchError, Fetcher, Resolve};
use url::Url;

use crate::server::{Server, ok, redirect};

/// Says one list of addresses after the other, the last one for ever.
struct Says {
    turns: Vec<Vec<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Resolve for Says {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if host == "nowhere.test" {
            return Err(io::ErrorKind::NotFound.into());
        }
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.turns[turn.min(self.turns.len() - 1)].clone())
    }
}

fn says(turns: &[&[&str]]) -> (Says, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let read = |turn: &&[&str]| turn.iter().map(|text| text.parse().unwrap()).collect();
    let turns = turns.iter().map(read).collect();
    (
        Says {
            turns,
            asked: Arc::clone(&asked),
        },
        asked,
    )
}

fn config(allow: &[&str]) -> FetchConfig {
    FetchConfig {
        allow: Allow::parse(allow.iter().copied()).unwrap(),
        // However busy the machine is.
        timeout_ms: 60_000,
        ..FetchConfig::default()
    }
}

fn fetcher(config: FetchConfig, turns: &[&[&str]]) -> Fetcher {
    Fetcher::new(config, says(turns).0).unwrap()
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn at(server: &Server, host: &str, path: &str) -> Url {
    url(&format!("http://{host}:{}{path}", server.address.port()))
}

async fn refused(fetcher: &Fetcher, url: &Url) -> FetchError {
    fetcher.get(url).await.unwrap_err()
}

// req: S7
#[tokio::test]
async fn what_is_allowed_is_fetched_from_the_address_that_was_checked() {
    let server = Server::plain(|path| ok(&format!("at {path}"))).await;
    let by_host = fetcher(config(&["allowed.test"]), &[&["127.0.0.1"]]);
    let fetched = by_host
        .get(&at(&server, "allowed.test", "/a?b"))
        .await
        .unwrap();
    assert_eq!(fetched.body, b"at /a?b");
    let by_net = fetcher(config(&["127.0.0.0/8"]), &[&["127.0.0.1"]]);
    by_net.get(&at(&server, "other.test", "/")).await.unwrap();
    by_net.get(&at(&server, "127.0.0.1", "/")).await.unwrap();
    let counts: Vec<_> = by_net.counts().iter().collect();
    assert_eq!(counts[0], ("ok", 2));
}

// req: S7
#[tokio::test]
async fn private_addresses_are_blocked_however_they_are_spelt() {
    let server = Server::plain(|_| ok("secret")).await;
    let closed = fetcher(config(&[]), &[&["127.0.0.1"]]);
    for host in [
        "name.test",
        "localhost",
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "①②⑦.0.0.1",
        "0",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "10.0.0.1",
        "[fe80::1]",
        "[2002:7f00:1::]",
    ] {
        assert_eq!(
            refused(&closed, &at(&server, host, "/")).await,
            FetchError::Blocked,
            "{host}"
        );
    }
    assert_eq!(server.seen(), 0);
    let mixed = fetcher(config(&[]), &[&["8.8.8.8", "127.0.0.1"]]);
    assert_eq!(
        refused(&mixed, &at(&server, "mixed.test", "/")).await,
        FetchError::Blocked
    );
    let blocked = closed
        .counts()
        .iter()
        .find(|(word, _)| *word == "blocked")
        .unwrap();
    assert_eq!(blocked.1, 21);
    assert_eq!(FetchError::Blocked.to_string(), "address blocked");
}

// req: S7: the resolved address is the one connected to.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let server = Server::plain(|_| ok("secret")).await;
    // 192.0.2.1 stands for a public address: nothing listens there, and it is allowed for this test.
    let (resolver, asked) = says(&[&["192.0.2.1"], &["127.0.0.1"]]);
    let mut short = config(&["192.0.2.1"]);
    short.connect_timeout_ms = 200;
    let fetcher = Fetcher::new(short, resolver).unwrap();
    let url = at(&server, "rebind.test", "/");
    assert_eq!(refused(&fetcher, &url).await, FetchError::Unreachable);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "one look-up for one connection"
    );
    // The next connection looks again, and sees where the name leads now.
    assert_eq!(refused(&fetcher, &url).await, FetchError::Blocked);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(server.seen(), 0);
}

// req: S7: also after a redirect.
#[tokio::test]
async fn redirects_are_checked_like_the_first_url() {
    let inner = Server::plain(|_| ok("secret")).await;
    let port = inner.address.port();
    let outer = Server::plain(move |path| match path {
        "/host" => redirect(&format!("http://inner.test:{port}/")),
        "/literal" => redirect(&format!("http://127.0.0.2:{port}/")),
        "/decimal" => redirect(&format!("http://2130706434:{port}/")),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/file" => redirect("file:///etc/passwd"),
        "/user" => redirect("http://user:secret@outer.test/"),
        "/relative" => redirect("there"),
        "/there" => ok("here"),
        _ => redirect("/loop"),
    })
    .await;
    struct Split;
    #[async_trait::async_trait]
    impl Resolve for Split {
        async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            let last = if host == "outer.test" {
                "127.0.0.1"
            } else {
                "127.0.0.2"
            };
            Ok(vec![last.parse().unwrap()])
        }
    }
    let fetcher = Fetcher::new(config(&["127.0.0.1"]), Split).unwrap();
    for (path, error) in [
        ("/host", FetchError::Blocked),
        ("/literal", FetchError::Blocked),
        ("/decimal", FetchError::Blocked),
        ("/metadata", FetchError::Blocked),
        ("/file", FetchError::Url),
        ("/user", FetchError::Url),
        ("/loop", FetchError::Redirects(5)),
    ] {
        assert_eq!(
            refused(&fetcher, &at(&outer, "outer.test", path)).await,
            error,
            "{path}"
        );
    }
    assert_eq!(inner.seen(), 0);
    let fetched = fetcher
        .get(&at(&outer, "outer.test", "/relative"))
        .await
        .unwrap();
    assert_eq!(
        (fetched.url.path(), fetched.body.as_slice()),
        ("/there", b"here".as_slice())
    );
}

#[tokio::test]
async fn tls_is_checked_and_never_left() {
    let plain = Server::plain(|_| ok("plain")).await;
    let down = at(&plain, "plain.test", "/").to_string();
    let server = Server::tls("secure.test", move |path| match path {
        "/down" => redirect(&down),
        _ => ok("secure"),
    })
    .await;
    let secure =
        |host: &str, path: &str| url(&format!("https://{host}:{}{path}", server.address.port()));
    let mut trusting = config(&["127.0.0.1"]);
    trusting.roots = vec![server.root.clone().unwrap()];
    let trusting = fetcher(trusting, &[&["127.0.0.1"]]);
    assert_eq!(
        trusting
            .get(&secure("secure.test", "/"))
            .await
            .unwrap()
            .body,
        b"secure"
    );
    assert_eq!(
        refused(&trusting, &secure("secure.test", "/down")).await,
        FetchError::Downgrade
    );
    assert_eq!(plain.seen(), 0);
    assert_eq!(
        refused(&trusting, &secure("other.test", "/")).await,
        FetchError::Unreachable
    );
    let strange = fetcher(config(&["127.0.0.1"]), &[&["127.0.0.1"]]);
    assert_eq!(
        refused(&strange, &secure("secure.test", "/")).await,
        FetchError::Unreachable
    );
}

#[tokio::test]
async fn answers_are_bounded_and_errors_tell_nothing() {
    let server = Server::plain(|path| match path {
        "/exact" => ok(&"x".repeat(1_000)),
        "/long" => ok(&"x".repeat(1_001)),
        "/endless" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000)),
        "/banner" => "SSH-2.0-OpenSSH_9.2 secret banner\r\n".to_owned(),
        "/missing" => "HTTP/1.1 404 secret phrase\r\ncontent-length: 6\r\n\r\nsecret".to_owned(),
        "/broken" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsec".to_owned(),
        _ => String::new(),
    })
    .await;
    let mut limited = config(&["127.0.0.1"]);
    limited.bytes_max = 1_000;
    let mut short = limited.clone();
    short.timeout_ms = 300;
    let short = fetcher(short, &[&["127.0.0.1"]]);
    let fetcher = fetcher(limited, &[&["127.0.0.1"]]);
    assert_eq!(
        fetcher
            .get(&at(&server, "a.test", "/exact"))
            .await
            .unwrap()
            .body
            .len(),
        1_000
    );
    for (path, error) in [
        ("/long", FetchError::TooLarge(1_000)),
        ("/endless", FetchError::TooLarge(1_000)),
        ("/banner", FetchError::Unreachable),
        ("/missing", FetchError::Status(404)),
        ("/broken", FetchError::Unreachable),
        ("/silent", FetchError::Timeout(300)),
    ] {
        let by = if path == "/silent" { &short } else { &fetcher };
        let found = refused(by, &at(&server, "a.test", path)).await;
        assert_eq!(found, error, "{path}");
        assert!(!found.to_string().contains("secret") && !found.to_string().contains("test"));
    }
    assert_eq!(
        refused(&fetcher, &url("http://nowhere.test/")).await,
        FetchError::Unresolved
    );
    for odd in [
        "ftp://a.test/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://user@a.test/",
        "http://:p@a.test/",
    ] {
        assert_eq!(refused(&fetcher, &url(odd)).await, FetchError::Url, "{odd}");
    }
}

#[tokio::test]
async fn what_belongs_to_an_origin_stays_there() {
    let server = Server::plain(|path| match path {
        "/away" => redirect("http://127.0.0.1:1/"),
        _ => ok("part"),
    })
    .await;
    let fetcher = fetcher(config(&["127.0.0.1", "cdn.test"]), &[&["127.0.0.1"]]);
    let root = at(&server, "a.test", "/openapi.yaml");
    let within = |url: Url| {
        let (fetcher, origin) = (fetcher.clone(), root.origin());
        async move { fetcher.get_within(&url, &origin, 3).await }
    };
    assert_eq!(
        within(at(&server, "a.test", "/part.yaml"))
            .await
            .unwrap_err(),
        FetchError::TooLarge(3)
    );
    assert_eq!(
        within(at(&server, "b.test", "/part.yaml"))
            .await
            .unwrap_err(),
        FetchError::Origin
    );
    assert_eq!(
        within(at(&server, "a.test", "/away")).await.unwrap_err(),
        FetchError::Origin
    );
    assert_eq!(
        within(at(&server, "cdn.test", "/part.yaml"))
            .await
            .unwrap_err(),
        FetchError::TooLarge(3)
    );
}
