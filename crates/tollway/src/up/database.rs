//! Which database the platform is on, and which key file goes with it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::Secret;
use credentials::{KeyFile, TokensError};
use serde::Deserialize;
use store::Store;
use store_sql::{DatabaseUrl, OpenOptions, Place};

use super::options::set;
use super::{Options, UpError, part, secret_file};

/// The embedded database, in the data folder.
const FILE: &str = "tollway.db";
/// What the embedded database is called once it was moved to a server.
const MOVED: &str = "tollway.db.moved";
/// The key file, unless configured.
const KEY_FILE: &str = "tollway.key";

/// A secret among the options: any text, which is looked at later, since who reads options repeats them in messages.
#[derive(Clone, Debug)]
pub struct SecretText(Secret<String>);

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Secret::new(text)))
    }
}

impl Options {
    /// How to open the database: the one of `database-url`, else the embedded one in the data folder.
    ///
    /// # Errors
    /// [`UpError`] when it is named twice, or its URL is none. The URL is never repeated.
    pub(crate) fn database(&self) -> Result<OpenOptions, UpError> {
        let mut options = match self.database_url()? {
            Some(url) => OpenOptions::on(url),
            None => OpenOptions::at(self.embedded()),
        };
        set(
            &mut options.read_connections,
            self.database_read_connections,
        );
        set(
            &mut options.write_connections,
            self.database_write_connections,
        );
        for (option, configured) in [
            (&mut options.connect_timeout, self.database_connect_timeout),
            (&mut options.queue_timeout, self.database_queue_timeout),
            (&mut options.lock_timeout, self.database_lock_timeout),
            (&mut options.poll_interval, self.database_poll_interval),
        ] {
            set(option, configured.map(|span| span.0));
        }
        Ok(options)
    }

    /// The file of the embedded database.
    pub(crate) fn embedded(&self) -> PathBuf {
        self.data_dir().join(FILE)
    }

    /// Where the embedded database is put once it was moved away.
    pub(crate) fn moved(&self) -> PathBuf {
        self.data_dir().join(MOVED)
    }

    /// The key file.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.key_file
            .clone()
            .unwrap_or_else(|| self.data_dir().join(KEY_FILE))
    }

    fn database_url(&self) -> Result<Option<DatabaseUrl>, UpError> {
        let text = match (&self.database_url, &self.database_url_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(UpError::Options(
                    "the database is named twice: by --database-url (or TOLLWAY_DATABASE_URL) and by \
                     --database-url-file; leave one"
                        .into(),
                ));
            }
            (Some(text), None) => text.0.clone(),
            (None, Some(file)) => secret_file(file)?,
        };
        let url = text.expose().parse();
        url.map(Some).map_err(part("database"))
    }
}

/// A folder whose database went to a server must not begin anew with an empty one.
pub(crate) fn must_not_be_moved(options: &Options, database: &OpenOptions) -> Result<(), UpError> {
    let is_embedded = matches!(database.place, Place::File(_));
    if is_embedded && !options.embedded().exists() && options.moved().exists() {
        return Err(UpError::File {
            path: options.moved(),
            cause: "this folder's database was moved to PostgreSQL: name it with --database-url-file, or rename this \
                    file to tollway.db to go back to what it was before"
                .into(),
        });
    }
    Ok(())
}

/// Opens the key file. A new one is made only for a database that holds nothing sealed: with any other key file than its
/// own no token could be signed, and no secret would match.
pub(crate) async fn key_file(path: &Path, store: &dyn Store) -> Result<KeyFile, UpError> {
    let sealed = store.signing_key_list().await.map_err(part("store"))?;
    if !sealed.is_empty() && !path.exists() {
        return Err(UpError::File {
            path: path.to_owned(),
            cause: "the key file is not there, and the database holds keys that are sealed under one: copy it from \
                    where the platform started first, or name it with --key-file"
                .into(),
        });
    }
    KeyFile::open_or_create(path).map_err(part("key file"))
}

/// What went wrong with the signing keys; a key file that does not fit is named.
pub(crate) fn tokens_error(path: &Path) -> impl FnOnce(TokensError) -> UpError {
    let path = path.to_owned();
    move |error| {
        match error {
        TokensError::Seal { .. } => UpError::File {
            path,
            cause: "is not the key file of this database: its signing keys do not open with it; copy the right one, \
                    or name it with --key-file"
                .into(),
        },
        other => part("signing keys")(other),
    }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_in_no_message() {
        let options = |text: &str| Options {
            database_url: Some(text.parse().unwrap()),
            ..Options::default()
        };
        let good = options("postgres://ann:hunter2@db/tollway");
        assert!(!format!("{good:?}").contains("hunter2"));
        let opened = good.database().unwrap();
        assert!(!format!("{opened:?}").contains("hunter2"));
        let error = options("mysql://ann:hunter2@db/x").database().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("mysql") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn the_database_is_named_once() {
        let options = Options {
            database_url: Some("postgres://db/tollway".parse().unwrap()),
            database_url_file: Some("/etc/tollway/url".into()),
            ..Options::default()
        };
        let error = options.database().unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
    }

    #[test]
    fn limits_are_taken_over() {
        let options: Options = toml::from_str(
            "database-url = 'postgres://db/tollway'\ndatabase-read-connections = 3\n\
             database-write-connections = 2\ndatabase-connect-timeout = '1s'\ndatabase-queue-timeout = '2s'\n\
             database-lock-timeout = '3s'\ndatabase-poll-interval = '4s'\n",
        )
        .unwrap();
        let opened = options.database().unwrap();
        let connections = (opened.read_connections, opened.write_connections);
        assert_eq!(connections, (3, 2));
        let spans = [
            opened.connect_timeout,
            opened.queue_timeout,
            opened.lock_timeout,
            opened.poll_interval,
        ];
        assert_eq!(spans.map(|span| span.as_secs()), [1, 2, 3, 4]);
    }
}
