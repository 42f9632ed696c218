//! What docs/security/gateway-authentication.md says of calls that are open for long: what ends them, and what does not.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use tollway::up::Span;

use super::*;
use crate::tokens;

/// A backend that sends every message back; gives its URL.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(stream).await else {
                    return;
                };
                while let Some(Ok(message)) = socket.next().await {
                    if !message.is_close() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// A world whose API is one of WebSockets. Its gateway has one worker: what is to end ends there in the order in which it
/// was said, so a WebSocket that goes on after another one has ended was not meant by anything said before.
async fn world() -> World {
    let mut world = World::start(|options| {
        options.gateway_workers = Some(1);
        options.gateway_tunnel_idle_timeout = Some(Span(Duration::from_hours(24)));
    })
    .await;
    let live = world.sandbox.api("live", PETS, &echo().await, "Gold").await;
    world.api = live.unwrap();
    world
}

/// A field of a request.
type Field<'a> = (&'static str, &'a str);

/// An open WebSocket.
struct Open(WebSocketStream<TlsStream<TcpStream>>);

impl Open {
    /// Asks for one, over TLS, and shows a certificate; or the status of the refusal.
    async fn try_new(
        world: &World,
        shows: Option<&Issued>,
        fields: &[Field<'_>],
    ) -> Result<Self, StatusCode> {
        let opening = async {
            let address = world.sandbox.gateway_https();
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(tls(world, shows));
            let stream = connector.connect(name, tcp).await.unwrap();
            let request = format!("ws://{address}/live/1.0.0/pets").into_client_request();
            let mut request = request.unwrap();
            for (name, value) in fields {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            match client_async(request, stream).await {
                Ok((socket, _)) => Ok(Self(socket)),
                Err(Error::Http(answer)) => Err(answer.status()),
                Err(other) => panic!("{other}"),
            }
        };
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        opened.expect("the handshake is answered")
    }

    async fn new(world: &World, shows: Option<&Issued>, fields: &[Field<'_>]) -> Self {
        let mut open = Self::try_new(world, shows, fields).await.unwrap();
        open.goes_on("it has only begun").await;
        open
    }

    /// A message comes back.
    async fn goes_on(&mut self, why: &str) {
        let message = Message::text("still there");
        let back = async {
            self.0.send(message.clone()).await.ok()?;
            self.0.next().await?.ok()
        };
        let back = tokio::time::timeout(PATIENCE, back).await;
        assert_eq!(back.expect("a message passes"), Some(message), "{why}");
    }

    /// The gateway closes it, by which nobody says goodbye.
    async fn ends(mut self, why: &str) {
        let end = async { while let Some(Ok(_)) = self.0.next().await {} };
        let ended = tokio::time::timeout(PATIENCE, end).await;
        ended.unwrap_or_else(|_| panic!("it is still open: {why}"));
    }
}

/// The side of a client that trusts the gateway and shows this certificate.
fn tls(world: &World, shows: Option<&Issued>) -> Arc<ClientConfig> {
    let own = world.sandbox.data_dir().join("gateway-cert.pem");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(own).unwrap())
        .unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(match shows {
        None => builder.with_no_client_auth(),
        Some(shows) => {
            let key = PrivateKeyDer::from_pem_slice(shows.key_pem.as_bytes()).unwrap();
            let chain = vec![CertificateDer::from(shows.der.clone())];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// A token and a key of one application, which are shown together.
struct Pair {
    token: String,
    bearer: String,
    key_id: String,
    key: String,
}

/// One of a pair.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Of {
    Token,
    Key,
}

impl Pair {
    async fn new(world: &World, client: &tokens::Client) -> Self {
        let token = client.token(&world.sandbox).await;
        let (key_id, key) = world.key(&world.api.app, json!({})).await;
        let bearer = format!("Bearer {token}");
        Self {
            token,
            bearer,
            key_id,
            key,
        }
    }

    fn fields(&self) -> [Field<'_>; 2] {
        [("authorization", &self.bearer), ("x-api-key", &self.key)]
    }

    /// Takes one of them away.
    async fn end(&self, world: &World, client: &tokens::Client, which: Of) {
        match which {
            Of::Token => client.revoke(&world.sandbox, &self.token).await,
            Of::Key => {
                let path = format!("/applications/{}/api-keys/{}", world.api.app, self.key_id);
                let gone = world.sandbox.call(Method::DELETE, &path, None).await;
                gone.unwrap();
            }
        }
    }
}

/// req: T2
#[tokio::test]
async fn a_websocket_of_several_credentials_ends_with_the_token_among_them() {
    let world = world().await;
    let root = Authority::root("partners");
    let tls = json!({"mutualTls": {"ca": {"inline": root.pem()}}});
    let either = json!({"anyOf": [{"jwt": {}}, {"apiKey": {}}]});
    world.security(json!([{"allOf": [tls, either]}])).await;
    let client = tokens::Client::new(&world.sandbox, &world.api.app).await;
    let till = root.issue("till", 7, |_| {});
    let (one, two) = (
        Pair::new(&world, &client).await,
        Pair::new(&world, &client).await,
    );
    let [bearer, _] = one.fields();
    let [other, key] = two.fields();
    let open = Open::new(&world, Some(&till), &[bearer]).await;
    let mut others = Open::new(&world, Some(&till), &[other]).await;
    let mut keyed = Open::new(&world, Some(&till), &[key]).await;
    // Each of them alone is not enough.
    for (shows, fields) in [(Some(&till), &[][..]), (None, &[bearer][..])] {
        let refused = Open::try_new(&world, shows, fields).await.err();
        assert_eq!(refused, Some(StatusCode::UNAUTHORIZED));
    }

    one.end(&world, &client, Of::Token).await;
    open.ends("its token was revoked").await;
    others.goes_on("it is another token's").await;
    keyed.goes_on("it is a key's").await;
    let again = Open::try_new(&world, Some(&till), &[bearer]).await.err();
    assert_eq!(again, Some(StatusCode::UNAUTHORIZED));

    two.end(&world, &client, Of::Key).await;
    keyed.ends("its key is gone").await;
    others.goes_on("it is a token's").await;
}

/// The caller is the first that is an application: what ends the other credential ends no call that is open.
///
/// req: T2
#[tokio::test]
async fn of_several_credentials_the_callers_alone_ends_a_websocket() {
    let world = world().await;
    let client = tokens::Client::new(&world.sandbox, &world.api.app).await;
    let (token, key) = (json!({"jwt": {}}), json!({"apiKey": {}}));
    for (order, caller, other) in [
        ([&token, &key], Of::Token, Of::Key),
        ([&key, &token], Of::Key, Of::Token),
    ] {
        world.security(json!([{ "allOf": order }])).await;
        let (shown, beside) = (
            Pair::new(&world, &client).await,
            Pair::new(&world, &client).await,
        );
        let mut open = Open::new(&world, None, &shown.fields()).await;
        let first = Open::new(&world, None, &beside.fields()).await;

        shown.end(&world, &client, other).await;
        let again = Open::try_new(&world, None, &shown.fields()).await.err();
        assert_eq!(again, Some(StatusCode::UNAUTHORIZED), "{other:?}");
        beside.end(&world, &client, caller).await;
        first.ends("what let it in is gone").await;
        open.goes_on("only the other credential is gone").await;

        shown.end(&world, &client, caller).await;
        open.ends("what let it in is gone, too").await;
    }
}

/// New calls are refused, those that are open stay.
#[tokio::test]
async fn a_websocket_stays_open_when_its_certificate_is_taken_back() {
    let world = world().await;
    let root = Authority::root("partners");
    let (till, shop) = (root.issue("till", 7, |_| {}), root.issue("shop", 8, |_| {}));
    world.secret("partners/ca.crt", &root.pem());
    world.secret("partners/ca.crl", &root.revokes(&[], 2080));
    let files = json!({"secretRef": "partners"});
    let tls = json!({"ca": files, "crl": files, "application": world.api.app});
    world
        .security(json!([{"mutualTls": tls}, {"jwt": {}}]))
        .await;
    let client = tokens::Client::new(&world.sandbox, &world.api.app).await;
    let refused_at_last = async |shows: &Issued| {
        let refused = async {
            loop {
                match Open::try_new(&world, Some(shows), &[]).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    Err(status) => break status,
                }
            }
        };
        let refused = tokio::time::timeout(PATIENCE, refused).await;
        refused.expect("the certificate is good no more")
    };
    let mut open = Open::new(&world, Some(&till), &[]).await;
    let mut other = Open::new(&world, Some(&shop), &[]).await;

    world.secret("partners/ca.crl", &root.revokes(&[&till], 2080));
    assert_eq!(refused_at_last(&till).await, StatusCode::UNAUTHORIZED);
    open.goes_on("its certificate is on the list").await;
    // Nor when nobody vouches for any of them.
    let next = Authority::root("next");
    world.secret("partners/ca.crl", &next.revokes(&[], 2080));
    world.secret("partners/ca.crt", &next.pem());
    assert_eq!(refused_at_last(&shop).await, StatusCode::UNAUTHORIZED);

    // Whoever is looked for among those that are open, it is not these.
    let beside = Pair::new(&world, &client).await;
    let [bearer, _] = beside.fields();
    let first = Open::new(&world, None, &[bearer]).await;
    beside.end(&world, &client, Of::Token).await;
    first.ends("its token was revoked").await;
    open.goes_on("its certificate was taken back").await;
    other.goes_on("its authority is gone").await;

    // They do end with their application's subscription.
    let path = format!("/subscriptions/{}-live", world.api.app);
    let gone = world.sandbox.call(Method::DELETE, &path, None).await;
    gone.unwrap();
    open.ends("its subscription is gone").await;
    other.ends("its subscription is gone").await;
}
