//! The URL of a PostgreSQL database: a secret, since it may hold a password.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// What a URL may say besides user, password, host, port and database; anything else is refused, since a setting that
/// is misspelt and passed over might be the one that demands TLS.
const PARAMETERS: [&str; 8] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// Where a PostgreSQL database is and how to log in there: `postgres://user:password@host:5432/database?sslmode=…`.
///
/// What it leaves out comes from libpq's environment (`PGHOST`, `PGUSER`, `PGPASSWORD` …) and `~/.pgpass`. Its `Display`
/// and `Debug` name host, port and database only.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: Box<PgConnectOptions>,
    /// The value of `sslrootcert`, which the options do not give back.
    root_certificate: Option<String>,
    /// The password, likewise.
    password: Option<base::Secret<String>>,
}

/// Why a text is no URL of a database. Never repeats the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// It cannot be read as a URL.
    #[error(
        "the database URL is not a URL ({0}); write postgres://user:password@host:5432/database"
    )]
    Syntax(String),
    /// It is the URL of something else.
    #[error("the database URL begins with `{0}:`; it begins with `postgres:`")]
    Scheme(String),
    /// It sets something unknown.
    #[error("the database URL sets `{0}`, which is not known; known are {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
    /// It names no database.
    #[error("the database URL names no database: write postgres://host:5432/database")]
    NoDatabase,
    /// A value is not one of those that can be.
    #[error("the database URL has a value that cannot be: {0}")]
    Value(&'static str),
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url =
            Url::parse(text.trim()).map_err(|error| DatabaseUrlError::Syntax(error.to_string()))?;
        if !["postgres", "postgresql"].contains(&url.scheme()) {
            return Err(DatabaseUrlError::Scheme(url.scheme().to_owned()));
        }
        let mut root_certificate = None;
        for (key, value) in url.query_pairs() {
            if !PARAMETERS.contains(&&*key) {
                return Err(DatabaseUrlError::Parameter(key.into_owned()));
            }
            match &*key {
                "sslmode" if value.parse::<PgSslMode>().is_err() => {
                    return Err(DatabaseUrlError::Value(
                        "sslmode is disable, allow, prefer, require, verify-ca or verify-full",
                    ));
                }
                "sslrootcert" => root_certificate = Some(value.into_owned()),
                _ => {}
            }
        }
        let options = PgConnectOptions::from_str(text.trim()).map_err(|_| {
            DatabaseUrlError::Value("user, password and database are percent-encoded UTF-8")
        })?;
        if options.get_database().is_none() {
            return Err(DatabaseUrlError::NoDatabase);
        }
        let password = password(&url);
        Ok(Self {
            options: Box::new(options),
            root_certificate,
            password,
        })
    }
}

fn password(url: &Url) -> Option<base::Secret<String>> {
    // The parser of forms is the one that is at hand; it reads `+` as a space, so that is kept from it.
    let encoded = url.password()?.replace('+', "%2B");
    let pair = format!("p={}", encoded.replace('&', "%26").replace('=', "%3D"));
    let (_, text) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(base::Secret::new(text.into_owned()))
}

impl DatabaseUrl {
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The file of the certificates that the server's is checked with, besides those of the web.
    pub(crate) fn root_certificate(&self) -> Option<&str> {
        self.root_certificate.as_deref()
    }

    /// The same, as the environment that libpq's programs read: nothing of it stands in a process list.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let host = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let mode = match options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        let mut environment = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string()),
            ("PGUSER", options.get_username().to_owned()),
            ("PGSSLMODE", mode.to_owned()),
        ];
        environment.extend(
            options
                .get_database()
                .map(|name| ("PGDATABASE", name.to_owned())),
        );
        environment.extend(
            self.root_certificate
                .clone()
                .map(|file| ("PGSSLROOTCERT", file)),
        );
        let password = self.password.as_ref();
        environment.extend(password.map(|password| ("PGPASSWORD", password.expose().clone())));
        environment
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        f.write_str(options.get_database().unwrap_or_default())?;
        match options.get_socket() {
            Some(folder) => write!(f, " at {}:{}", folder.display(), options.get_port()),
            None => write!(f, " at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_no_secret() {
        let url = "postgresql://ann:s%2Be%3Dc+r%26t@db.example.com:5433/gate?sslmode=verify-full";
        let url: DatabaseUrl = url.parse().unwrap();
        assert_eq!(url.to_string(), "gate at db.example.com:5433");
        let debug = format!("{url:?}");
        assert_eq!(debug, "DatabaseUrl(gate at db.example.com:5433)");
        let environment = url.environment();
        assert!(environment.contains(&("PGPASSWORD", "s+e=c+r&t".to_owned())));
        assert!(environment.contains(&("PGSSLMODE", "verify-full".to_owned())));
    }

    #[test]
    fn faults_are_named_and_the_text_is_not_repeated() {
        for (text, part) in [
            ("hunter2", "not a URL"),
            ("mysql://a:hunter2@h/d", "`mysql:`"),
            ("postgres://a:hunter2@h", "names no database"),
            ("postgres://a:hunter2@h/d?sslmod=require", "`sslmod`"),
            ("postgres://a:hunter2@h/d?password=hunter2", "`password`"),
            ("postgres://a:hunter2@h/d?sslmode=hunter2", "verify-full"),
            ("postgres://a:hunter2@h:99999/d", "not a URL"),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
