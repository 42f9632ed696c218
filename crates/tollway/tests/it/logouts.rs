//! People are logged out from the command line, and their clients hear of it although the platform dies before.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::imports::http_get;
use crate::platform::{PASSWORD, User};

/// The lease of an attempt that the kill cut off is a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// A browser's tab.
struct Tab<'u> {
    user: &'u User,
}

impl Tab<'_> {
    fn curl(&self, url: &str, form: &[(&str, &str)]) -> String {
        let jar = self.user.path("cookies");
        let mut command = Command::new("curl");
        command
            .args(["-s", "-D", "-", "-b"])
            .arg(&jar)
            .arg("-c")
            .arg(&jar);
        for (name, value) in form {
            command
                .arg("--data-urlencode")
                .arg(format!("{name}={value}"));
        }
        let output = command.arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.user.platform.control)
    }

    /// Logs in for a client that asks nobody, where nobody is logged in yet; it gets a code.
    fn log_in(&self, client_id: &str) {
        let request = format!(
            "/oauth2/authorize?response_type=code&client_id={client_id}&scope=openid&state=s&nonce=n\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
        let page = self.curl(&self.at(&request), &[]);
        if page.starts_with("HTTP/1.1 303") {
            assert!(page.contains("code="), "{page}");
            return;
        }
        let flow = page
            .split("name=\"flow\" value=\"")
            .nth(1)
            .unwrap_or_else(|| panic!("{page}"));
        let flow = flow.split('"').next().unwrap();
        let form = [
            ("flow", flow),
            ("username", "admin"),
            ("password", PASSWORD),
        ];
        let answer = self.curl(&self.at("/oauth2/login"), &form);
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        assert!(answer.contains("code="), "{answer}");
    }
}

fn json(user: &User, arguments: &[&str]) -> Value {
    let all = [arguments, &["-o", "json"]].concat();
    serde_json::from_str(&user.ok(&all)).unwrap()
}

/// An address that nobody listens at.
fn free() -> SocketAddr {
    ([127, 0, 0, 1], parts::free_port()).into()
}

/// A client of ours that wants to hear of logouts there; and somebody who is logged in with it.
fn setting(told_at: SocketAddr) -> (User, String) {
    let user = User::start_with(&["--outbound-allow", "127.0.0.1"]);
    user.ok(&["app", "create", "shop"]);
    let client_id = client(&user, "Shop", told_at);
    (user, client_id)
}

fn client(user: &User, name: &str, told_at: SocketAddr) -> String {
    let metadata = format!(
        r#"{{"grant_types": ["authorization_code"], "redirect_uris": ["https://app.example/cb"], "skip_consent": true,
            "backchannel_logout_uri": "http://{told_at}/logged-out"}}"#
    );
    std::fs::write(user.path("client.json"), metadata).unwrap();
    let create = "credentials create --app shop --metadata client.json --name";
    let mut create: Vec<&str> = create.split(' ').collect();
    create.push(name);
    let made = json(user, &create);
    let client_id = made["clientId"].as_str().unwrap().to_owned();
    Tab { user }.log_in(&client_id);
    client_id
}

/// The next connection, if there is one in time.
fn connected(listener: &TcpListener, patience: Duration) -> Option<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(false).unwrap();
            return Some(socket);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// What is posted, answered with 200.
fn posted(listener: &TcpListener) -> String {
    let socket = connected(listener, PATIENCE).expect("nobody was told");
    answered(socket, "200 OK")
}

/// What is posted, answered with this.
fn answered(mut socket: TcpStream, status: &str) -> String {
    let mut text = Vec::new();
    let mut part = [0; 8192];
    while !String::from_utf8_lossy(&text).contains("logout_token=") {
        let read = socket.read(&mut part).unwrap();
        assert!(read > 0);
        text.extend_from_slice(&part[..read]);
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    socket.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(text).unwrap()
}

/// OpenID Connect Back-Channel Logout: who has to be told is in the database when the session is over.
#[test]
fn a_client_hears_of_a_logout_after_a_kill() {
    let address = free();
    let (user, client_id) = setting(address);
    let listed = json(&user, &["session", "list"]);
    assert_eq!(listed[0]["user"], "admin");
    assert_eq!(listed[0]["address"], "127.0.0.1");
    assert!(listed[0]["agent"].as_str().unwrap().starts_with("curl/"));
    assert_eq!(listed[0]["clients"][0]["name"], "Shop");
    let sid = listed[0]["id"].as_str().unwrap().to_owned();
    user.ok(&["session", "end", &sid]);
    let user = user.crash();
    assert_eq!(json(&user, &["session", "list"]), serde_json::json!([]));
    let listener = TcpListener::bind(address).unwrap();
    let told = posted(&listener);
    assert!(told.starts_with("POST /logged-out HTTP/1.1"));
    let entry = json(&user, &["audit", "--kind", "Session"]);
    assert_eq!(entry[0]["name"], sid.as_str());
    assert_eq!(entry[0]["actor"], "admin");
    assert!(entry.to_string().contains(&client_id));
}

/// As a person and as an admin; what is not there is refused.
#[test]
fn sessions_and_consents_are_managed_from_the_command_line() {
    let (user, _) = setting(free());
    assert_eq!(
        json(&user, &["session", "list", "--user", "admin"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(json(&user, &["consent", "list"]), serde_json::json!([]));
    assert!(user.ok(&["session", "list"]).contains("LAST USED"));
    user.fails(3, &["session", "list", "--user", "nobody"]);
    user.fails(3, &["session", "end", "none"]);
    user.fails(3, &["consent", "withdraw", "none"]);
    user.fails(2, &["session", "end"]);
    user.ok(&["session", "end", "--all"]);
    user.ok(&["consent", "withdraw", "--all", "--user", "admin"]);
    assert_eq!(json(&user, &["session", "list"]), serde_json::json!([]));
}

/// Two clients that do not listen are told one after the other and twice each. By default it would be both at once, and
/// ten times in four hours.
#[test]
fn how_often_and_how_many_clients_are_told_is_said() {
    let flags = "--outbound-allow 127.0.0.1 --identity-logout-attempts 2 --identity-logout-pause 1ms --identity-logouts-parallel 1";
    let user = User::start_with(&flags.split(' ').collect::<Vec<_>>());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    user.ok(&["app", "create", "shop"]);
    for name in ["Shop", "Till"] {
        client(&user, name, listener.local_addr().unwrap());
    }
    user.ok(&["session", "end", "--all"]);
    let first = connected(&listener, PATIENCE).expect("nobody was told");
    let beside = connected(&listener, Duration::from_millis(1_500));
    assert!(beside.is_none(), "two are told at the same time");
    answered(first, "503 Service Unavailable");
    for _ in 1..4 {
        let next = connected(&listener, PATIENCE).expect("not told again");
        answered(next, "503 Service Unavailable");
    }
    let until = Instant::now() + PATIENCE;
    let metrics = format!("{}/metrics", user.platform.node);
    while !http_get(&metrics).contains("tollway_identity_logouts_waiting 0") {
        assert!(Instant::now() < until, "they are not given up");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(connected(&listener, Duration::from_millis(1_500)).is_none());
}
