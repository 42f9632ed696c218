//! The authorization server's TLS listener in a process of its own: it goes over to another process, and its certificates
//! are read again (req: GW14).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::platform::{BINARY, PATIENCE, User};
use crate::upgrade::{Foster, process_of};

/// Who signs certificates, with what it signed in files.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Its own certificate is the file `NAME.crt`.
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than those of the certificates that it signs: else they would look signed by themselves.
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.join(format!("{name}.crt")), pem).unwrap();
        Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes `NAME.crt` and `NAME.key`.
    fn signs(&self, name: &str, dns: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![dns.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.folder.join(format!("{name}.crt")), cert.pem()).unwrap();
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A platform with the listener, and a client that proves itself by a certificate.
struct Scene {
    user: User,
    files: tempfile::TempDir,
    url: String,
    client_id: String,
    authority: Authority,
}

impl Scene {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new(files.path(), "ca");
        authority.signs("server", "localhost");
        authority.signs("client", "client.example.com");
        let clients = Authority::new(files.path(), "clients");
        clients.signs("late", "client.example.com");
        let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        let user = User::start_with(&[
            "--identity-tls-listen",
            "127.0.0.1:0",
            "--identity-tls-cert",
            &path("server.crt"),
            "--identity-tls-key",
            &path("server.key"),
            "--identity-tls-client-ca",
            &path("ca.crt"),
        ]);
        let printed = &user.platform.printed;
        let line = printed.iter().find(|line| line.starts_with("identity "));
        let address = line.unwrap().split("https://").nth(1).unwrap().trim();
        let port = address.rsplit(':').next().unwrap();
        let url = format!("https://localhost:{port}");
        user.ok(&["app", "create", "till"]);
        let metadata = user.path("client.json");
        let text = r#"{
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_san_dns": "client.example.com",
            "grant_types": ["client_credentials"],
            "tls_client_certificate_bound_access_tokens": true
        }"#;
        std::fs::write(&metadata, text).unwrap();
        let made = user.ok(&[
            "credentials",
            "create",
            "--app",
            "till",
            "--metadata",
            metadata.to_str().unwrap(),
            "-o",
            "json",
        ]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        Self {
            client_id: made["clientId"].as_str().unwrap().to_owned(),
            user,
            files,
            url,
            authority,
        }
    }

    /// Asks for a token over a connection of its own that shows this certificate; the answer, with the status behind it.
    fn token(&self, certificate: Option<&str>) -> String {
        let path = |name: String| self.files.path().join(name).to_str().unwrap().to_owned();
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--max-time",
            "120",
            "--cacert",
            &path("ca.crt".into()),
        ]);
        if let Some(name) = certificate {
            command.args(["--cert", &path(format!("{name}.crt"))]);
            command.args(["--key", &path(format!("{name}.key"))]);
        }
        let form = format!("grant_type=client_credentials&client_id={}", self.client_id);
        command.args(["-d", &form, "-w", " %{http_code}"]);
        command.arg(format!("{}/oauth2/token", self.url));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (told, error) = (output.stdout, output.stderr);
        format!(
            "{}{}",
            String::from_utf8(told).unwrap(),
            String::from_utf8(error).unwrap()
        )
    }

    fn gets_a_token(&self, certificate: &str) -> bool {
        let told = self.token(Some(certificate));
        assert!(told.ends_with(" 200") || told.ends_with(" 401"), "{told}");
        told.ends_with(" 200")
    }

    fn tollway(&self, command: &str) -> std::process::Output {
        let mut tollway = Command::new(BINARY);
        tollway.arg(command);
        tollway.arg("--data-dir").arg(self.user.path("data"));
        tollway.stdin(Stdio::null()).output().unwrap()
    }

    /// The certificate that a new connection is shown, in PEM.
    fn shown(&self) -> String {
        let address = self.url.strip_prefix("https://").unwrap();
        let output = Command::new("openssl")
            .args(["s_client", "-connect", address, "-showcerts"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let begin = text.find("-----BEGIN CERTIFICATE-----");
        let end = text.find("-----END CERTIFICATE-----");
        text[begin.expect("a certificate is shown")..end.unwrap()].to_owned()
    }
}

/// RFC 8705: the token is bound to what the connection showed, and comes to nobody else.
#[test]
fn a_certificate_proves_a_client_at_the_listener() {
    let scene = Scene::new();
    let told = scene.token(Some("client"));
    assert!(told.ends_with(" 200"), "{told}");
    let answer: serde_json::Value =
        serde_json::from_str(told.strip_suffix(" 200").unwrap()).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    let token = answer["access_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64url(payload);
    assert!(payload.contains("\"x5t#S256\""), "{payload}");
    assert!(scene.token(None).ends_with(" 401"));
    assert!(!scene.gets_a_token("late"), "another authority's");
}

fn base64url(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    String::from_utf8(bytes.unwrap()).unwrap()
}

/// However a test ends, its threads end too.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_listener_goes_over_to_another_process_and_no_token_is_lost() {
    let scene = Scene::new();
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let second = std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(scene.gets_a_token("client"));
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more = || {
            let (before, deadline) = (calls.load(Ordering::Relaxed), Instant::now() + PATIENCE);
            while calls.load(Ordering::Relaxed) < before + 10 {
                assert!(Instant::now() < deadline, "no tokens any more");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        more();
        // The new process reads the files, whatever the old one had read.
        let before = scene.shown();
        scene.authority.signs("server", "localhost");
        assert_eq!(scene.shown(), before);
        let second = Foster::of(process_of(&scene.tollway("upgrade")));
        more();
        assert_ne!(scene.shown(), before);
        second
    });
    drop(second);
}

#[test]
fn a_reload_reads_the_certificates_of_the_listener_again() {
    let scene = Scene::new();
    let before = scene.shown();
    scene.authority.signs("server", "localhost");
    assert!(!scene.gets_a_token("late"));
    let (ca, clients) = (
        scene.files.path().join("ca.crt"),
        scene.files.path().join("clients.crt"),
    );
    // Authorities of clients are read again, too: from now on there are two.
    let own = std::fs::read_to_string(&ca).unwrap();
    let both = own.clone() + &std::fs::read_to_string(clients).unwrap();
    std::fs::write(&ca, both).unwrap();
    assert_eq!(
        scene.shown(),
        before,
        "nothing is read before it is asked for"
    );
    let output = scene.tollway("reload");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("2 certificates of listeners"), "{text}");
    let after = scene.shown();
    assert_ne!(after, before);
    assert!(scene.gets_a_token("late"));
    assert!(scene.gets_a_token("client"));

    // What cannot be used is named, and everything stays as it was.
    let key = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(scene.files.path().join("server.key"), key).unwrap();
    std::fs::write(&ca, own).unwrap();
    let output = scene.tollway("reload");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("server.crt"), "{error}");
    assert_eq!(scene.shown(), after);
    assert!(scene.gets_a_token("late"));
}
