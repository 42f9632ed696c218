//! What a policy sees of a request, an answer and its surroundings.

use std::any::{Any, TypeId};
use std::cell::{OnceCell, RefCell, RefMut};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use base::{
    ApplicationId, Clock, CredentialId, Environment, KeyLimits, KeyMark, Org, SubscriptionId,
    TokenMarks,
};
use http::{HeaderMap, Method, StatusCode};
use limits::Authority;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::backend_auth::BackendAuth;
use crate::backend_tokens::{BackendTokens, NoBackendTokens};
use crate::directory::{Directory, SubscriptionView};
use crate::passwords::{NoPasswords, Passwords};
use crate::remembered::Remembered;
use crate::secrets::Secrets;
use crate::services::{AuthorizationCounts, Services};

/// One request on its way to the backend. Lives on one core.
pub struct RequestCx {
    /// The method.
    pub method: Method,
    /// The canonical path, whole (context and version included). The router, policies and the upstream see this one.
    pub path: String,
    /// Where the part that the backend gets begins in [`Self::path`]; that part is empty or begins with a slash.
    pub rest_at: usize,
    /// The query without its question mark, as the client sent it.
    pub query: Option<String>,
    /// The headers as they will go upstream; hop-by-hop and identity headers are gone already.
    pub headers: HeaderMap,
    /// Who connected.
    pub client: Client,
    /// The trace that this request belongs to.
    pub trace: Trace,
    /// Milliseconds since 1970, read once for the request.
    pub unix_ms: u64,
    /// Monotonic milliseconds, read once for the request.
    pub monotonic_ms: u64,
    /// Until the head of the backend's answer must be there; `None` = the backend's own timeout.
    pub timeout_ms: Option<u64>,
    /// Bytes that the request's body may have; `None` = what the gateway takes at all, which bounds it in any case.
    pub body_bytes_max: Option<u64>,
    /// Who calls; set by the phase `authenticate`.
    pub principal: Option<Rc<Principal>>,
    /// Under which subscription; set by the subscription check.
    pub subscription: Option<Rc<SubscriptionView>>,
    /// What policies remember of this request.
    pub slots: Slots,
    /// The core's surroundings.
    pub core: Rc<Core>,
}

impl RequestCx {
    /// What this call ends with, should it be open for long; `None` while nobody is known to have made it.
    #[must_use]
    pub fn caller(&self) -> Option<Caller> {
        Some(Caller {
            principal: Rc::clone(self.principal.as_ref()?),
            subscription: self.subscription.as_ref().map(|held| held.id),
        })
    }
}

/// An answer on its way to the client.
pub struct ResponseCx<'a> {
    /// The request; its `headers` were moved upstream and are empty.
    pub request: &'a mut RequestCx,
    /// The status.
    pub status: StatusCode,
    /// The headers; hop-by-hop headers of the backend are gone already.
    pub headers: &'a mut HeaderMap,
}

/// The client's side of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The peer's address.
    pub ip: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// The certificate that the client showed in the TLS handshake, or to a proxy that the listener trusts, whoever issued it;
/// in a slot (as `Arc<ClientCertificate>`) of the calls of such a connection. It proves that the client has the
/// certificate's key, and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The client's own (DER), then what it sent of those between it and an authority.
    pub chain: Vec<Box<[u8]>>,
    /// The SHA-256 of its own.
    pub sha256: [u8; 32],
    /// A proxy has told of it.
    pub forwarded: bool,
}

impl ClientCertificate {
    /// A chain that was shown; `None` for an empty one.
    #[must_use]
    pub fn new(chain: Vec<Box<[u8]>>, forwarded: bool) -> Option<Self> {
        let sha256 = *base::Digest::of(chain.first()?).as_bytes();
        Some(Self {
            chain,
            sha256,
            forwarded,
        })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256 = base::Digest::from_bytes(self.sha256);
        write!(f, "ClientCertificate({sha256})")
    }
}

/// In a slot of a call that carries no credential, where none is needed: an authentication policy has looked, and found
/// none.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

/// W3C Trace Context of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace id; taken from the client's `traceparent` or B3 fields, or begun here.
    pub trace_id: [u8; 16],
    /// The span that what comes next has as its parent: this hop's, or the client's where none is recorded here.
    pub span_id: [u8; 8],
    /// The trace flags.
    pub flags: u8,
}

/// Who calls. Made by an authentication policy and by nobody else.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The caller's organisation.
    pub org: Org,
    /// The application; `None` for a caller that is none of ours, and so has no subscription.
    pub application: Option<ApplicationId>,
    /// The credential that proved it, where it is one that the platform keeps.
    pub credential: Option<CredentialId>,
    /// Which text of an API key was shown; `None` where it was no API key.
    pub key: Option<KeyMark>,
    /// What the credential is for: it decides which backend is called.
    pub environment: Environment,
    /// What is known of the caller.
    pub identity: Arc<Identity>,
    /// What an API key is limited to; `None` = nothing beyond its application's subscriptions.
    pub limits: Option<Arc<KeyLimits>>,
    /// The token that proved it; `None` for what is no token.
    pub token: Option<Arc<TokenInUse>>,
}

/// What a call that is open for long ends with.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who calls.
    pub principal: Rc<Principal>,
    /// Under which subscription.
    pub subscription: Option<SubscriptionId>,
}

/// What is known of who calls. Made once for a credential, shared by all calls with it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `sub` of a token, the name of a user, the subject of a certificate; `None` for an API key.
    pub subject: Option<String>,
    /// The scopes that its token carries, or that its API key stands for; `None` for an API key that is not limited by
    /// scopes, and for nothing else: who has none has `Some` of an empty list.
    pub scopes: Option<Vec<String>>,
    /// Its roles.
    pub roles: Vec<String>,
    /// All that the token, or who vouched for the caller, says.
    pub claims: Map<String, Value>,
}

/// Claims are about people: only their names are shown.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("scopes", &self.scopes)
            .field("roles", &self.roles)
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A token with which somebody calls: what ends a call that is open for long.
#[derive(Clone, Debug)]
pub struct TokenInUse {
    /// What it can be ended by.
    pub marks: TokenMarks,
    /// Its `exp`.
    pub ends_unix_s: u64,
}

/// What outlives a configuration change; one a process.
pub struct Runtime {
    /// Callers, subscriptions, plans, issuers.
    pub directory: Arc<dyn Directory>,
    /// What says whether a limit is reached, and keeps the counters.
    pub limits: Arc<Authority>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What documents name and never hold.
    pub secrets: Secrets,
    /// Who checks passwords.
    pub passwords: Arc<dyn Passwords>,
    /// What backends are shown.
    pub backend_auth: Arc<BackendAuth>,
    /// Who has the access tokens that backends are shown.
    pub backend_tokens: Arc<dyn BackendTokens>,
    /// What came of external authorization.
    pub authorization: Arc<AuthorizationCounts>,
    /// What each core remembers at most.
    pub remembered: Arc<Remembered>,
}

impl Runtime {
    /// One without secrets and passwords.
    #[must_use]
    pub fn new(
        directory: Arc<dyn Directory>,
        limits: Arc<Authority>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            directory,
            limits,
            clock,
            secrets: Secrets::none(),
            passwords: Arc::new(NoPasswords),
            backend_auth: Arc::default(),
            backend_tokens: Arc::new(NoBackendTokens),
            authorization: Arc::default(),
            remembered: Arc::default(),
        }
    }
}

/// One core's surroundings: the shared runtime and memory that no other core sees, so that it needs no lock.
pub struct Core {
    /// What all cores share.
    pub runtime: Arc<Runtime>,
    /// The identity of all callers of whom nothing is known but their credential. Each core has its own, so that cores do
    /// not count in one place.
    pub unnamed: Arc<Identity>,
    memory: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    services: OnceCell<Rc<dyn Services>>,
}

impl Core {
    /// A core with empty memory.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>) -> Rc<Self> {
        Rc::new(Self {
            runtime,
            unnamed: Arc::default(),
            memory: RefCell::new(Vec::new()),
            services: OnceCell::new(),
        })
    }

    /// Says who asks services; the first word counts.
    pub fn serve_by(&self, services: Rc<dyn Services>) {
        // A second one changes nothing.
        let _ = self.services.set(services);
    }

    /// Who asks services; `None` where nobody does.
    #[must_use]
    pub fn services(&self) -> Option<Rc<dyn Services>> {
        self.services.get().map(Rc::clone)
    }

    /// This core's memory of type `T`, made at its first use. Bounding it is the business of its owner.
    pub fn memory<T: Any + Default>(&self) -> Rc<RefCell<T>> {
        let mut memory: RefMut<'_, _> = self.memory.borrow_mut();
        let id = TypeId::of::<T>();
        if let Some((_, cell)) = memory.iter().find(|(have, _)| *have == id) {
            let cell: Rc<RefCell<T>> = Rc::clone(cell)
                .downcast()
                .expect("filed under its own TypeId");
            return cell;
        }
        let cell = Rc::new(RefCell::new(T::default()));
        let erased: Rc<dyn Any> = cell.clone();
        memory.push((id, erased));
        cell
    }
}

/// Typed places in which policies remember things within one request.
#[derive(Default)]
pub struct Slots(SmallVec<[(TypeId, Box<dyn Any>); 4]>);

impl Slots {
    /// Remembers a value; replaces an earlier one of the same type.
    pub fn put<T: Any>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.0.retain(|(have, _)| *have != id);
        self.0.push((id, Box::new(value)));
    }

    /// Takes the remembered value of this type out.
    pub fn take<T: Any>(&mut self) -> Option<T> {
        let id = TypeId::of::<T>();
        let at = self.0.iter().position(|(have, _)| *have == id)?;
        let (_, value) = self.0.swap_remove(at);
        value.downcast().ok().map(|value| *value)
    }

    /// The remembered value of this type, to be changed; its default where none was.
    pub fn get_or_default<T: Any + Default>(&mut self) -> &mut T {
        let id = TypeId::of::<T>();
        let index = self.0.iter().position(|(have, _)| *have == id);
        let index = index.unwrap_or_else(|| {
            self.0.push((id, Box::new(T::default())));
            self.0.len() - 1
        });
        self.0[index]
            .1
            .downcast_mut()
            .expect("filed under its own TypeId")
    }

    /// The remembered value of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.0
            .iter()
            .find(|(have, _)| *have == id)
            .and_then(|(_, value)| value.downcast_ref())
    }

    /// The remembered value of this type, to be changed.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        self.0
            .iter_mut()
            .find(|(have, _)| *have == id)
            .and_then(|(_, value)| value.downcast_mut())
    }
}
