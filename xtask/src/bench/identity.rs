//! What the authorization server costs: tokens, the code flow, introspection, each per second of the process's CPU time.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use super::Bench;
use super::http::Control;
use super::report::{Report, Table};
use super::statistics::{median, range};
use super::tollway::{Folder, PASSWORD, Setup, Tollway};

/// Clients that ask at once.
const AT_ONCE: usize = 32;
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://app.example/cb";

const NOTE: &str = "The whole platform on one core, SQLite as shipped (every commit is synced), 32 clients at once beside it. \
                    Clients prove themselves by a secret. A JWT is signed and nothing is stored; an opaque token, a code, the use \
                    of a code and a refresh token are on the disk before the answer. The code flow is `authorize` with a session \
                    that is there and a client that asks no consent, then `token`: a code, an access token, a refresh token \
                    and an ID token.";

/// A client with its secret.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    secret: String,
}

/// The authorization server of a platform.
pub(crate) struct Server {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
}

impl Server {
    /// Makes a client of an application, registered like this.
    pub(crate) async fn client(
        control: &Control,
        application: &str,
        metadata: Value,
    ) -> anyhow::Result<Client> {
        let path = format!("/applications/{application}/credentials");
        let body = json!({"metadata": metadata});
        let made = control.call(Method::POST, &path, Some(&body)).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        Ok(Client {
            id: text("clientId").context("a client has an id")?,
            secret: text("clientSecret").context("a client has a secret")?,
        })
    }

    /// A form of a client, answered with 200.
    pub(crate) async fn form(
        &self,
        client: &Client,
        path: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .basic_auth(&client.id, Some(&client.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(query(fields)?);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 200, "{path} answered {status}: {text}");
        Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        })
    }

    /// An access token of a client for itself.
    pub(crate) async fn token(&self, client: &Client) -> anyhow::Result<String> {
        let fields = [("grant_type", "client_credentials")];
        let answer = self.form(client, "/oauth2/token", &fields).await?;
        let token = answer["access_token"].as_str().context("a token")?;
        Ok(token.to_owned())
    }

    async fn introspect(&self, client: &Client, token: &str) -> anyhow::Result<()> {
        let fields = [("token", token)];
        let answer = self.form(client, "/oauth2/introspect", &fields).await?;
        ensure!(answer["active"] == true, "the token is not active");
        Ok(())
    }

    /// Logs somebody in; gives the cookies of the browser.
    async fn log_in(&self, client: &Client) -> anyhow::Result<String> {
        let page = self.http.get(self.authorize(client)?).send().await?;
        let cookies = cookies(page.headers());
        let page = page.text().await?;
        let flow = page
            .split_once("name=\"flow\" value=\"")
            .and_then(|(_, rest)| Some(rest.split_once('"')?.0))
            .context("the login page has a form")?;
        let fields = [
            ("flow", flow),
            ("username", "admin"),
            ("password", PASSWORD),
        ];
        let answer = self
            .http
            .post(format!("{}/oauth2/login", self.url))
            .header(COOKIE, &cookies)
            .header("origin", &self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(query(&fields)?)
            .send()
            .await?;
        ensure!(answer.status() == 303, "the login was not taken");
        Ok(format!("{cookies}; {}", self::cookies(answer.headers())))
    }

    fn authorize(&self, client: &Client) -> anyhow::Result<String> {
        let fields = [
            ("response_type", "code"),
            ("client_id", client.id.as_str()),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        Ok(format!("{}/oauth2/authorize?{}", self.url, query(&fields)?))
    }

    /// The code flow of somebody who is logged in.
    async fn code_flow(&self, client: &Client, cookies: &str) -> anyhow::Result<()> {
        let asked = self.http.get(self.authorize(client)?);
        let answer = asked.header(COOKIE, cookies).send().await?;
        let location = answer.headers().get(LOCATION).context("a redirect")?;
        let location = reqwest::Url::parse(location.to_str()?)?;
        let code = location.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.with_context(|| format!("no code: {location}"))?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let answer = self.form(client, "/oauth2/token", &fields).await?;
        ensure!(answer["refresh_token"].is_string(), "no refresh token");
        Ok(())
    }
}

fn query(fields: &[(&str, &str)]) -> anyhow::Result<String> {
    let url = reqwest::Url::parse_with_params("http://x/", fields)?;
    Ok(url.query().unwrap_or_default().to_owned())
}

fn cookies(headers: &HeaderMap) -> String {
    let pairs = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

/// What is asked for, again and again.
enum Case {
    Token(Client),
    Introspection(Client, String),
    CodeFlow(Client, String),
}

impl Case {
    async fn once(&self, server: &Server) -> anyhow::Result<()> {
        match self {
            Self::Token(client) => server.token(client).await.map(drop),
            Self::Introspection(client, token) => server.introspect(client, token).await,
            Self::CodeFlow(client, cookies) => server.code_flow(client, cookies).await,
        }
    }

    /// Asks for so long, [`AT_ONCE`] at a time; gives how often it was answered, and how long it took.
    async fn turn(&self, server: &Server, time: Duration) -> anyhow::Result<(f64, Duration)> {
        let begun = Instant::now();
        let asking = (0..AT_ONCE).map(|_| self.again(server, begun, time));
        let counts = try_join_all(asking).await?;
        Ok((counts.iter().sum(), begun.elapsed()))
    }

    /// Asks again and again until the time is over; gives how often it was answered.
    async fn again(&self, server: &Server, begun: Instant, time: Duration) -> anyhow::Result<f64> {
        let mut count = 0.0;
        while begun.elapsed() < time {
            self.once(server).await?;
            count += 1.0;
        }
        Ok(count)
    }
}

/// An application that is subscribed to an API, which nobody calls here.
pub(crate) async fn application(bench: &Bench, platform: &Tollway) -> anyhow::Result<Control> {
    let control = platform.control().await?;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    control.apply_bench(&bench.configs, nobody).await?;
    Ok(control)
}

async fn cases(server: &Server, control: &Control) -> anyhow::Result<[(&'static str, Case); 5]> {
    let jwt = Server::client(control, "bench", json!({})).await?;
    let opaque = json!({"access_token_format": "opaque"});
    let opaque = Server::client(control, "bench", opaque).await?;
    let web = json!({
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [CALLBACK], "skip_consent": true,
    });
    let web = Server::client(control, "bench", web).await?;
    let cookies = server.log_in(&web).await?;
    let tokens = (server.token(&jwt).await?, server.token(&opaque).await?);
    Ok([
        (
            "client_credentials, a JWT (ES256)",
            Case::Token(jwt.clone()),
        ),
        (
            "client_credentials, an opaque token, stored",
            Case::Token(opaque.clone()),
        ),
        ("code flow", Case::CodeFlow(web, cookies)),
        ("introspection of a JWT", Case::Introspection(jwt, tokens.0)),
        (
            "introspection of an opaque token",
            Case::Introspection(opaque, tokens.1),
        ),
    ])
}

/// See the module.
pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let setup = Setup::cores(1, Some("0"));
    let platform = Tollway::start(&bench.tollway, &folder, &setup).await?;
    let control = application(bench, &platform).await?;
    let server = Server {
        http: super::http::client()?,
        url: platform.control_url(),
    };
    let cases = cases(&server, &control).await?;
    let time = Duration::from_secs(bench.options.seconds);
    for (_, case) in &cases {
        case.turn(&server, time / 4).await?;
    }
    let mut of_cpu = [const { Vec::new() }; 5];
    let mut of_time = [const { Vec::new() }; 5];
    for round in 1..=bench.options.rounds {
        for (at, (name, case)) in cases.iter().enumerate() {
            let before = platform.process.cpu()?.total_us();
            let (count, took) = case.turn(&server, time).await?;
            let cpu_us = platform.process.cpu()?.total_us() - before;
            of_cpu[at].push(count / cpu_us * 1e6);
            of_time[at].push(count / took.as_secs_f64());
            println!(
                "   round {round}: {:7.0} a CPU second  {name}",
                of_cpu[at][round - 1]
            );
        }
    }
    let head = [
        "case",
        "per CPU second",
        "least – most",
        "CPU µs each",
        "per second",
    ];
    let mut table = Table::new("Authorization server, one core", NOTE, &head);
    for ((name, _), (of_cpu, of_time)) in cases.iter().zip(of_cpu.iter().zip(&of_time)) {
        let ((least, most), middle) = (range(of_cpu), median(of_cpu));
        table.row(vec![
            (*name).to_owned(),
            format!("{middle:.0}"),
            format!("{least:.0} – {most:.0}"),
            format!("{:.0}", 1e6 / middle),
            format!("{:.0}", median(of_time)),
        ]);
    }
    report.tables.push(table);
    Ok(())
}
