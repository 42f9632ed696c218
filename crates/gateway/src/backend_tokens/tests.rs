use std::sync::atomic::AtomicUsize;

use base::ManualClock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fetch::{Allow, FetchConfig, SystemResolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A token endpoint on loopback: notes what it is asked, and answers what it is told to.
struct Endpoint {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let this = Self {
            url,
            asked: Arc::default(),
            answer: Arc::default(),
            open: Arc::default(),
            most: Arc::default(),
        };
        this.gives("first", 3600);
        let (asked, answer) = (Arc::clone(&this.asked), Arc::clone(&this.answer));
        let (open, most) = (Arc::clone(&this.open), Arc::clone(&this.most));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                let (open, most) = (Arc::clone(&open), Arc::clone(&most));
                tokio::spawn(async move {
                    let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let mut text = String::new();
                    let mut buffer = [0; 4096];
                    while !is_whole(&text) {
                        let count = stream.read(&mut buffer).await.unwrap();
                        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                    }
                    asked.lock().unwrap().push(text);
                    let answer = answer.lock().unwrap().clone();
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    fn answers(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.to_owned();
    }

    fn gives(&self, token: &str, expires_in: u64) {
        let body = format!(
            r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{expires_in}}}"#
        );
        self.answers(&ok(&body));
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn client(&self) -> Arc<TokenClient> {
        self.client_of(|_| {})
    }

    fn client_of(&self, change: impl FnOnce(&mut TokenRequest)) -> Arc<TokenClient> {
        let mut request = TokenRequest {
            url: self.url.clone(),
            client_id: "gate way".to_owned(),
            proof: TokenProof::Basic,
            scope: Some("a b".to_owned()),
            audience: None,
            resource: None,
            timeout_ms: 60_000,
            lifetime_ms: 300_000,
        };
        change(&mut request);
        Arc::new(TokenClient::new(request))
    }
}

/// A request has come to its end.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.unwrap().parse::<usize>().unwrap()
}

fn tokens(allow: &[&str], clients_max: usize) -> (Tokens, Arc<ManualClock>) {
    let limits = TokenLimits {
        clients_max,
        ..TokenLimits::default()
    };
    limited(allow, limits)
}

fn limited(allow: &[&str], limits: TokenLimits) -> (Tokens, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let config = FetchConfig {
        allow: Allow::parse(allow.iter().copied()).unwrap(),
        ..FetchConfig::default()
    };
    let fetcher = Fetcher::new(config, SystemResolver).unwrap();
    let clock_of_tokens: Arc<dyn Clock> = clock.clone();
    (Tokens::new(fetcher, clock_of_tokens, limits), clock)
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn value(tokens: &Tokens, client: &Arc<TokenClient>) -> Result<String, NoToken> {
    let token = tokens.token(Arc::clone(client), secret("s:1")).await?;
    Ok(token.value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_shared() {
    let endpoint = Endpoint::start().await;
    let (tokens, _) = tokens(&["127.0.0.1"], 10);
    let client = endpoint.client();
    let many = (0..50).map(|_| value(&tokens, &client));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.unwrap(), "Bearer first");
    }
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 1);
    // RFC 6749 §2.3.1: id and secret are encoded as in a form before they are joined.
    let expected = format!("authorization: Basic {}", STANDARD.encode("gate+way:s%3A1"));
    assert!(asked[0].contains(&expected), "{}", asked[0]);
    assert!(asked[0].ends_with("grant_type=client_credentials&scope=a+b"));
    let counts = tokens.counts();
    assert_eq!(counts.given.load(Ordering::Relaxed), 1);
    assert_eq!(counts.clients.load(Ordering::Relaxed), 1);

    let form = endpoint.client_of(|request| {
        request.proof = TokenProof::Form;
        request.audience = Some("orders".to_owned());
    });
    value(&tokens, &form).await.unwrap();
    let asked = endpoint.asked();
    assert!(asked[1].ends_with("&audience=orders&client_id=gate+way&client_secret=s%3A1"));
    assert!(!asked[1].to_ascii_lowercase().contains("authorization:"));
}

#[tokio::test]
async fn it_is_renewed_while_the_one_before_is_good() {
    let endpoint = Endpoint::start().await;
    endpoint.gives("first", 100);
    let (tokens, clock) = tokens(&["127.0.0.1"], 10);
    let client = endpoint.client();
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer first");
    endpoint.gives("second", 100);
    // It is shown for 95 s, and another one is asked for 20 s before.
    clock.advance_ms(74_000);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer first");
    assert_eq!(endpoint.asked().len(), 1);
    clock.advance_ms(1_000);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer first");
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while value(&tokens, &client).await.unwrap() != "Bearer second" {
        assert!(tokio::time::Instant::now() < deadline, "it is not renewed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(endpoint.asked().len(), 2);
    // The endpoint fails: the token is shown until its end, and not longer.
    endpoint.answers("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
    clock.advance_ms(94_000);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer second");
    clock.advance_ms(2_000);
    assert!(value(&tokens, &client).await.is_err());
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone_for_longer_and_longer() {
    let endpoint = Endpoint::start().await;
    endpoint.answers("HTTP/1.1 401 No\r\ncontent-length: 11\r\n\r\nsecret-text");
    let (tokens, clock) = tokens(&["127.0.0.1"], 10);
    let client = endpoint.client();
    let mut asked = 0;
    for pause_s in [1, 2, 4, 8, 16, 32, 60, 60] {
        let fault = value(&tokens, &client).await.unwrap_err();
        assert_eq!(fault, NoToken::Failed("the answer is 401".to_owned()));
        asked += 1;
        let waits = value(&tokens, &client).await.unwrap_err();
        assert_eq!(waits, NoToken::Wait(pause_s));
        clock.advance_ms(pause_s * 1000 - 1);
        assert_eq!(value(&tokens, &client).await.unwrap_err(), NoToken::Wait(1));
        assert_eq!(endpoint.asked().len(), asked);
        clock.advance_ms(1);
    }
    endpoint.gives("first", 100);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer first");
    assert_eq!(endpoint.most.load(Ordering::SeqCst), 1, "one at a time");
    assert_eq!(tokens.counts().failed.load(Ordering::Relaxed), asked as u64);
}

#[tokio::test]
async fn what_is_no_token_is_none() {
    let endpoint = Endpoint::start().await;
    for body in [
        "{}",
        "not json",
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":"a b","token_type":"Bearer"}"#,
        "{\"access_token\":\"a\\r\\nX: 1\",\"token_type\":\"Bearer\"}",
        r#"{"access_token":"a","token_type":"mac"}"#,
        r#"{"access_token":"a"}"#,
    ] {
        let (tokens, _) = tokens(&["127.0.0.1"], 10);
        endpoint.answers(&ok(body));
        let fault = value(&tokens, &endpoint.client()).await.unwrap_err();
        assert!(matches!(fault, NoToken::Failed(_)), "{body}");
    }
    // One that does not say how long it is good.
    let (tokens, clock) = tokens(&["127.0.0.1"], 10);
    endpoint.answers(&ok(r#"{"access_token":"a","token_type":"bearer"}"#));
    let client = endpoint.client();
    let token = tokens.token(client, secret("s")).await.unwrap();
    assert_eq!(token.ends_ms, clock.monotonic_ms() + 295_000);
}

/// req: S7
#[tokio::test]
async fn secrets_go_nowhere_else() {
    let endpoint = Endpoint::start().await;
    let (closed, _) = tokens(&[], 10);
    let fault = value(&closed, &endpoint.client()).await.unwrap_err();
    assert!(fault.to_string().contains("https"), "{fault}");
    let inside = endpoint.client_of(|request| request.url = "https://169.254.169.254/t".to_owned());
    let fault = value(&closed, &inside).await.unwrap_err();
    assert_eq!(fault, NoToken::Failed("address blocked".to_owned()));
    let (open, _) = tokens(&["127.0.0.1"], 10);
    endpoint
        .answers("HTTP/1.1 307 To\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n\r\n");
    let fault = value(&open, &endpoint.client()).await.unwrap_err();
    assert_eq!(fault, NoToken::Failed("the answer is 307".to_owned()));
    let debug = format!("{:?}", endpoint.client());
    assert!(!debug.contains("s:1"));
}

#[tokio::test]
async fn the_number_of_clients_is_bounded() {
    let endpoint = Endpoint::start().await;
    let (tokens, clock) = tokens(&["127.0.0.1"], 2);
    let client = |name: &str| {
        let name = name.to_owned();
        endpoint.client_of(|request| request.client_id = name)
    };
    for name in ["a", "b"] {
        value(&tokens, &client(name)).await.unwrap();
    }
    assert_eq!(
        value(&tokens, &client("c")).await.unwrap_err(),
        NoToken::TooMany
    );
    assert_eq!(tokens.counts().too_many.load(Ordering::Relaxed), 1);
    // Those whose tokens have ended make room.
    clock.advance_ms(3_600_000);
    value(&tokens, &client("c")).await.unwrap();
}

#[tokio::test]
async fn a_refused_token_is_replaced_but_not_at_every_call() {
    let endpoint = Endpoint::start().await;
    let (tokens, clock) = tokens(&["127.0.0.1"], 10);
    let client = endpoint.client();
    let token = tokens
        .token(Arc::clone(&client), secret("s:1"))
        .await
        .unwrap();
    endpoint.gives("second", 100);
    tokens.refused(&client, &token);
    assert_eq!(
        value(&tokens, &client).await.unwrap(),
        "Bearer first",
        "it is young"
    );
    clock.advance_ms(10_000);
    tokens.refused(&client, &token);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer second");
    tokens.refused(&client, &token);
    assert_eq!(
        value(&tokens, &client).await.unwrap(),
        "Bearer second",
        "that was another one"
    );
}

/// Each limit at another value than it has by itself, and its count.
#[tokio::test]
async fn limits_are_what_they_are_set_to_and_are_counted() {
    let limits = TokenLimits {
        clients_max: 1,
        answer_bytes_max: 200,
        token_bytes_max: 20,
        pause_ms: 5_000,
        pause_ms_max: 8_000,
        refused_age_ms: 30_000,
    };
    let endpoint = Endpoint::start().await;
    let (tokens, clock) = limited(&["127.0.0.1"], limits);
    let client = endpoint.client();
    let hit = |limit: &str| {
        let counts = tokens.counts();
        let found = counts.limits().find(|(label, _)| *label == limit);
        found.unwrap().1
    };
    let failed = |text: &str| NoToken::Failed(text.to_owned());

    endpoint.gives(&"x".repeat(21), 100);
    let fault = value(&tokens, &client).await.unwrap_err();
    assert_eq!(fault, failed("the token is longer than 20 bytes"));
    assert_eq!(hit("token_bytes"), 1);
    assert_eq!(value(&tokens, &client).await, Err(NoToken::Wait(5)));
    assert_eq!(hit("pause"), 1);

    clock.advance_ms(5_000);
    endpoint.gives(&"x".repeat(200), 100);
    let fault = value(&tokens, &client).await.unwrap_err();
    assert_eq!(fault, failed("the answer has more than 200 bytes"));
    assert_eq!(hit("answer_bytes"), 1);
    // Twice as long would be ten seconds.
    assert_eq!(value(&tokens, &client).await, Err(NoToken::Wait(8)));
    assert_eq!(hit("pause"), 2);

    clock.advance_ms(8_000);
    endpoint.gives(&"x".repeat(20), 3600);
    let token = tokens.token(Arc::clone(&client), secret("s:1")).await;
    let token = token.unwrap();
    endpoint.gives("second", 3600);
    clock.advance_ms(29_999);
    tokens.refused(&client, &token);
    assert_eq!(hit("refused_age"), 1);
    clock.advance_ms(1);
    tokens.refused(&client, &token);
    assert_eq!(value(&tokens, &client).await.unwrap(), "Bearer second");
    assert_eq!(hit("refused_age"), 1);

    let other = endpoint.client_of(|request| request.client_id = "other".to_owned());
    assert_eq!(value(&tokens, &other).await, Err(NoToken::TooMany));
    assert_eq!(hit("clients"), 1);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_counted() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", silent.local_addr().unwrap());
    let endpoint = Endpoint::start().await;
    let (tokens, _) = tokens(&["127.0.0.1"], 10);
    let client = endpoint.client_of(|request| {
        request.url = url;
        request.timeout_ms = 20;
    });
    let fault = value(&tokens, &client).await.unwrap_err();
    let expected = NoToken::Failed("no whole answer within 20 ms".to_owned());
    assert_eq!(fault, expected);
    let counts = tokens.counts();
    assert!(counts.limits().any(|hit| hit == ("timeout", 1)));
}
