use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use policy::LocalFuture;
use policy::services::{BodyAhead, NoAnswer, PeekFault, ServiceAnswer, Services};
use prost::Message as _;
use serde_json::{Value, json};

use super::messages::{
    BoolValue, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue, HeaderValueOption,
    HttpStatus, OkHttpResponse, QueryParameter, Status,
};
use super::*;
use crate::testing::{Bench, compile, compile_errors};

/// Answers what it is told to, and notes what it is asked.
struct Service {
    answer: RefCell<Result<ServiceAnswer, NoAnswer>>,
    asked: RefCell<Vec<ServiceCall>>,
}

struct Asked(Rc<Service>);

impl Services for Asked {
    fn call(
        &self,
        _: &RequestCx,
        call: ServiceCall,
    ) -> LocalFuture<'static, Result<ServiceAnswer, NoAnswer>> {
        self.0.asked.borrow_mut().push(call);
        Box::pin(std::future::ready(self.0.answer.borrow().clone()))
    }
}

/// A core whose service is this one.
fn bench() -> (Bench, Rc<Service>) {
    let bench = Bench::new();
    let service = Rc::new(Service {
        answer: RefCell::new(Err(NoAnswer::Missing)),
        asked: RefCell::default(),
    });
    bench.core.serve_by(Rc::new(Asked(Rc::clone(&service))));
    (bench, service)
}

fn answer(status: u16, fields: &[(&'static str, &'static str)], body: &[u8]) -> ServiceAnswer {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    ServiceAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::copy_from_slice(body),
        trailers: HeaderMap::new(),
    }
}

fn message(response: &CheckResponse) -> ServiceAnswer {
    let bytes = response.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend(bytes);
    let mut answer = answer(200, &[("content-type", "application/grpc")], &frame);
    answer.trailers.insert("grpc-status", "0".parse().unwrap());
    answer
}

fn code(code: i32) -> CheckResponse {
    CheckResponse {
        status: Some(Status { code }),
        ..CheckResponse::default()
    }
}

fn option(name: &str, value: &str, append: Option<bool>, action: i32) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.to_owned(),
            raw_value: Vec::new(),
        }),
        append: append.map(|value| BoolValue { value }),
        append_action: action,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "tests read better so")]
fn grpc(more: Value) -> Value {
    let mut config = json!({"backend": "authz", "grpc": {"context": {"rule": "r1"}}});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

fn request(bench: &Bench) -> RequestCx {
    let mut cx = bench.request_of("POST", "/pets/1.0.0/pets", None);
    cx.query = Some("a=1&debug=1".to_owned());
    for (name, value) in [
        ("x-forwarded-host", "api.example.com"),
        ("x-forwarded-for", "127.0.0.1"),
        ("authorization", "Bearer secret"),
        ("cookie", "session=secret"),
        ("x-list", "a"),
        ("x-list", "b"),
        ("x-secret", "1"),
        ("content-length", "7"),
    ] {
        cx.headers.append(name, value.parse().unwrap());
    }
    cx
}

fn question(service: &Service) -> (ServiceCall, CheckRequest) {
    let call = service.asked.borrow().last().unwrap().clone();
    let message = CheckRequest::decode(&call.body[5..]).unwrap();
    (call, message)
}

/// req: GW4
#[test]
fn grpc_is_told_of_the_call_and_who_calls() {
    let (bench, service) = bench();
    *service.answer.borrow_mut() = Ok(message(&code(0)));
    let policy = compile("extAuthz", grpc(json!({})));
    bench.run(&*policy, &mut request(&bench)).unwrap();
    let (call, message) = question(&service);
    assert_eq!(call.path, "/envoy.service.auth.v3.Authorization/Check");
    assert_eq!((&*call.backend, call.timeout_ms), ("authz", 200));
    assert_eq!(call.headers["te"], "trailers");
    let attributes = message.attributes.unwrap();
    let source = attributes.source.unwrap();
    assert_eq!(source.principal, bench.application.to_string());
    let address = source.address.unwrap().socket_address.unwrap().address;
    assert_eq!(address, "127.0.0.1");
    assert_eq!(attributes.context_extensions["rule"], "r1");
    let request = attributes.request.unwrap();
    assert_eq!(request.time.unwrap().seconds, 1_800_000_000);
    let http = request.http.unwrap();
    assert_eq!((http.method.as_str(), http.size), ("POST", 7));
    assert_eq!(http.path, "/pets/1.0.0/pets?a=1&debug=1");
    assert_eq!(
        (http.host.as_str(), http.scheme.as_str()),
        ("api.example.com", "http")
    );
    assert_eq!(http.headers["x-list"], "a,b");
    assert_eq!(http.headers[":authority"], "api.example.com");
    for secret in ["authorization", "cookie"] {
        assert!(!http.headers.contains_key(secret), "{secret}");
    }

    let policy = compile("extAuthz", grpc(json!({"headers": ["Cookie"]})));
    bench.run(&*policy, &mut self::request(&bench)).unwrap();
    let http = question(&service)
        .1
        .attributes
        .unwrap()
        .request
        .unwrap()
        .http
        .unwrap();
    let names: Vec<&String> = http.headers.keys().collect();
    assert_eq!(
        names,
        [":authority", ":method", ":path", ":scheme", "cookie"]
    );
}

#[test]
fn a_service_that_lets_pass_may_change_the_call() {
    let (bench, service) = bench();
    let ok = OkHttpResponse {
        headers: vec![
            option("x-list", "c", None, 0),
            option("x-more", "1", Some(true), 0),
            option("x-more", "2", Some(true), 0),
            option("x-secret-2", "n", None, 3),
            option("x-new", "n", None, 1),
        ],
        headers_to_remove: vec!["x-secret".to_owned()],
        response_headers_to_add: vec![option("x-decided", "yes", None, 0)],
        query_parameters_to_set: vec![QueryParameter {
            key: "a".to_owned(),
            value: "2 3".to_owned(),
        }],
        query_parameters_to_remove: vec!["debug".to_owned()],
    };
    *service.answer.borrow_mut() = Ok(message(&CheckResponse {
        ok_response: Some(ok),
        ..code(0)
    }));
    let policy = compile("extAuthz", grpc(json!({})));
    let mut cx = request(&bench);
    bench.run(&*policy, &mut cx).unwrap();
    let all = |name: &str| -> Vec<_> { cx.headers.get_all(name).iter().cloned().collect() };
    assert_eq!(all("x-list"), ["c"]);
    assert_eq!(all("x-more"), ["1", "2"]);
    assert_eq!(all("x-new"), ["n"]);
    assert!(all("x-secret").is_empty() && all("x-secret-2").is_empty());
    assert_eq!(cx.query.as_deref(), Some("a=2+3"));
    let headers = bench.respond(&*policy, &mut cx, 200, HeaderMap::new());
    assert_eq!(headers["x-decided"], "yes");
}

/// req: S6
#[test]
fn what_a_service_may_not_change_ends_the_call() {
    let (bench, service) = bench();
    let named = grpc(json!({"upstreamHeaders": ["X-Tenant"]}));
    for (config, name) in [
        (grpc(json!({})), "host"),
        (grpc(json!({})), "content-length"),
        (grpc(json!({})), "x-forwarded-for"),
        (grpc(json!({})), "x-original-url"),
        (grpc(json!({})), "a b"),
        (named.clone(), "x-other"),
    ] {
        let ok = OkHttpResponse {
            headers: vec![option(name, "1", None, 0)],
            ..OkHttpResponse::default()
        };
        *service.answer.borrow_mut() = Ok(message(&CheckResponse {
            ok_response: Some(ok),
            ..code(0)
        }));
        let policy = compile("extAuthz", config);
        let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
        assert_eq!(reject.code, EXTERNAL_AUTHORIZATION_FAILED, "{name}");
    }
    let owned = crate::find("extAuthz").unwrap().owned(&named);
    assert_eq!(owned, ["x-tenant"]);
}

/// req: GW4
#[test]
fn a_denial_is_what_the_client_gets() {
    let (bench, service) = bench();
    let policy = compile("extAuthz", grpc(json!({})));
    *service.answer.borrow_mut() = Ok(message(&code(7)));
    let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
    assert_eq!(reject.code, CALLER_NOT_ALLOWED);
    assert_eq!(reject.reason.unwrap().rule, "ext-authz");
    assert!(reject.instead.is_none());

    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: 401 }),
        headers: vec![option("www-authenticate", "Own", None, 0)],
        body: "not you".to_owned(),
    };
    *service.answer.borrow_mut() = Ok(message(&CheckResponse {
        denied_response: Some(denied),
        ..code(16)
    }));
    let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
    let instead = reject.instead.unwrap();
    assert_eq!(instead.status, StatusCode::UNAUTHORIZED);
    assert_eq!(instead.headers["www-authenticate"], "Own");
    assert_eq!(instead.body, "not you");
    let counts = &bench.core.runtime.authorization;
    assert_eq!(counts.denied.load(Ordering::Relaxed), 2);
}

/// req: S6
#[test]
fn without_an_answer_that_can_be_understood_nobody_passes() {
    let (bench, service) = bench();
    let mut grpc_error = message(&code(0));
    grpc_error
        .trailers
        .insert("grpc-status", "14".parse().unwrap());
    let ok_and_denied = CheckResponse {
        denied_response: Some(DeniedHttpResponse::default()),
        ..code(0)
    };
    let wrong = [
        Err(NoAnswer::Missing),
        Err(NoAnswer::TooLong),
        Err(NoAnswer::Failed("late")),
        Ok(answer(200, &[], b"")),
        Ok(answer(200, &[("grpc-status", "7")], b"")),
        Ok(answer(200, &[], b"\x01\0\0\0\0")),
        Ok(answer(200, &[], b"\0\0\0\0\x05\x08")),
        Ok(answer(200, &[], b"\0\0\0\0\x02\xff\xff")),
        Ok(answer(403, &[], b"")),
        Ok(grpc_error),
        Ok(message(&CheckResponse::default())),
        Ok(message(&ok_and_denied)),
    ];
    for (number, wrong) in wrong.iter().enumerate() {
        *service.answer.borrow_mut() = wrong.clone();
        let policy = compile("extAuthz", grpc(json!({})));
        let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
        assert_eq!(reject.code, EXTERNAL_AUTHORIZATION_FAILED, "{number}");
        let reason = reject.reason.unwrap();
        assert_eq!(reason.rule, "ext-authz-answer");
        let open = compile("extAuthz", grpc(json!({"failureModeAllow": true})));
        bench.run(&*open, &mut request(&bench)).unwrap();
    }
    let counts = &bench.core.runtime.authorization;
    let count = wrong.len() as u64;
    assert_eq!(counts.failed.load(Ordering::Relaxed), count);
    assert_eq!(counts.failed_open.load(Ordering::Relaxed), count);
    // A denial is no failure.
    *service.answer.borrow_mut() = Ok(message(&code(7)));
    let open = compile("extAuthz", grpc(json!({"failureModeAllow": true})));
    bench.run(&*open, &mut request(&bench)).unwrap_err();
}

/// req: GW4
#[test]
fn http_asks_with_the_calls_own_method_and_path() {
    let (bench, service) = bench();
    let config = json!({
        "backend": "authz",
        "http": {"pathPrefix": "/check", "clientHeaders": ["X-Why"]},
        "headers": ["Authorization"],
        "upstreamHeaders": ["X-Tenant"],
        "timeout": "1s",
    });
    let policy = compile("extAuthz", config);
    let fields = [("x-tenant", "acme"), ("x-other", "1"), ("x-tenant", "b")];
    *service.answer.borrow_mut() = Ok(answer(200, &fields, b"ignored"));
    let mut cx = request(&bench);
    bench.run(&*policy, &mut cx).unwrap();
    let call = service.asked.borrow().last().unwrap().clone();
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/check/pets/1.0.0/pets")
    );
    assert_eq!(call.query.as_deref(), Some("a=1&debug=1"));
    assert_eq!(call.timeout_ms, 1000);
    let mut names: Vec<&str> = call.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["authorization", "x-forwarded-for", "x-forwarded-host"]
    );
    let tenants: Vec<_> = cx.headers.get_all("x-tenant").iter().collect();
    assert_eq!(tenants, ["acme", "b"]);
    assert!(!cx.headers.contains_key("x-other"));

    let fields = [
        ("location", "/login"),
        ("x-why", "1"),
        ("server", "x"),
        ("set-cookie", "a=1"),
    ];
    *service.answer.borrow_mut() = Ok(answer(302, &fields, b"go"));
    let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
    let instead = reject.instead.unwrap();
    assert_eq!((instead.status.as_u16(), &*instead.body), (302, &b"go"[..]));
    let mut names: Vec<&str> = instead.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["location", "x-why"]);
    for status in [500, 503, 204] {
        *service.answer.borrow_mut() = Ok(answer(status, &[], b""));
        let reject = bench.run(&*policy, &mut request(&bench)).unwrap_err();
        assert_eq!(reject.code, EXTERNAL_AUTHORIZATION_FAILED, "{status}");
    }
}

struct Text(&'static str);

impl BodyAhead for Text {
    fn peek(&self, bytes_max: usize) -> LocalFuture<'static, Result<Peeked, PeekFault>> {
        let bytes = &self.0.as_bytes()[..self.0.len().min(bytes_max)];
        let whole = bytes.len() == self.0.len();
        let peeked = Peeked {
            bytes: Bytes::from_static(bytes),
            whole,
        };
        Box::pin(std::future::ready(Ok(peeked)))
    }
}

#[test]
fn a_body_is_told_up_to_a_limit() {
    let (bench, service) = bench();
    *service.answer.borrow_mut() = Ok(message(&code(0)));
    let call = |config: Value| {
        let policy = compile("extAuthz", config);
        assert!(policy.looks_ahead());
        let mut cx = request(&bench);
        cx.slots.put(Ahead(Rc::new(Text("0123456789"))));
        bench.run(&*policy, &mut cx)?;
        let http = question(&service)
            .1
            .attributes
            .unwrap()
            .request
            .unwrap()
            .http;
        Ok::<_, Reject>(http.unwrap())
    };
    let body =
        |bytes: &str, partial: bool| json!({"body": {"maxBytes": bytes, "allowPartial": partial}});
    assert_eq!(call(grpc(body("10B", false))).unwrap().body, "0123456789");
    let reject = call(grpc(body("9B", false))).unwrap_err();
    assert_eq!(reject.code, BODY_TOO_LARGE);
    assert_eq!(call(grpc(body("9B", true))).unwrap().body, "012345678");
    let mut raw = grpc(body("9B", true));
    raw["grpc"]["raw"] = true.into();
    let http = call(raw).unwrap();
    assert_eq!(
        (http.body.as_str(), &*http.raw_body),
        ("", &b"012345678"[..])
    );
    let counts = &bench.core.runtime.authorization;
    assert_eq!(counts.too_long.load(Ordering::Relaxed), 1);
    assert!(!compile("extAuthz", grpc(json!({}))).looks_ahead());
}

#[test]
fn all_faults_are_reported_with_their_place() {
    for (config, expected) in [
        (
            json!({"backend": "a b", "timeout": "2m", "body": {"maxBytes": "2Mi"}, "maxAnswer": "2Mi", "headers": ["a b"],
                "upstreamHeaders": ["Host"]}),
            vec![
                ("", "one-key"),
                ("/backend", "backend-name"),
                ("/body/maxBytes", "size-range"),
                ("/headers/0", "header-name"),
                ("/maxAnswer", "size-range"),
                ("/timeout", "timeout-range"),
                ("/upstreamHeaders/0", "header-reserved"),
            ],
        ),
        (
            json!({"backend": "a", "http": {"pathPrefix": "x?"}}),
            vec![("/http/pathPrefix", "path-prefix")],
        ),
        (
            json!({"backend": "a", "http": {"clientHeaders": ["Content-Length"]}}),
            vec![("", "policy-config")],
        ),
    ] {
        let faults = compile_errors("extAuthz", config);
        let mut places: Vec<_> = faults
            .iter()
            .map(|fault| (fault.pointer.as_str(), &*fault.rule))
            .collect();
        places.sort_unstable();
        assert_eq!(places, expected);
    }
}
